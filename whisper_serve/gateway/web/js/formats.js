/** A transcript as text for people, players and programs, byte for byte as the API writes it. */

const MAX_LINE_WIDTH = 1000;

/** Each with how it is written, its ending and its content type; named as the API's `response_format`. */
export const FORMATS = {
  text: { render: (transcript) => `${transcript.text}\n`, extension: "txt", type: "text/plain" },
  srt: { render: srt, extension: "srt", type: "application/x-subrip" },
  vtt: { render: vtt, extension: "vtt", type: "text/vtt" },
  verbose_json: { render: json, extension: "json", type: "application/json" },
  tsv: { render: tsv, extension: "tsv", type: "text/tab-separated-values" },
};

function srt(transcript) {
  return cues(transcript)
    .map((cue, place) => `${place + 1}\n${timing(cue, ",", true)}\n${cue.text}\n\n`)
    .join("");
}

function vtt(transcript) {
  return `WEBVTT\n\n${cues(transcript).map((cue) => `${timing(cue, ".", false)}\n${cue.text}\n\n`).join("")}`;
}

function tsv(transcript) {
  const lines = transcript.current.map((segment) => {
    const text = segment.text.trim().replaceAll("\t", " ");
    return `${milliseconds(segment.start)}\t${milliseconds(segment.end)}\t${text}\n`;
  });
  return `start\tend\ttext\n${lines.join("")}`;
}

function json(transcript) {
  if (!transcript.corrected) return transcript.raw;
  const { type, ...body } = transcript.body;
  const segments = transcript.current.map(({ words, ...segment }) => segment);
  const words = transcript.current.flatMap((segment) => segment.words);
  const timed = words.map(({ text, start, end, probability }) => ({ word: text.trim(), start, end, probability }));
  return JSON.stringify({ ...body, text: transcript.text, segments, ...(transcript.hasWords ? { words: timed } : {}) });
}

/** Of words where there are any, one a segment otherwise. An arrow would read as another line of times. */
function cues(transcript) {
  const found = transcript.hasWords && transcript.current.some((each) => each.words.length)
    ? transcript.current.filter((segment) => segment.words.length).map(cueOfWords)
    : transcript.current.map(({ start, end, text }) => ({ start, end, text: text.trim() }));
  return found.map((cue) => ({ ...cue, text: cue.text.replace(/-{2,}>/g, "->") }));
}

function cueOfWords({ words }) {
  let [text, columns] = ["", 0];
  for (const word of words) {
    const length = [...word.text].length;
    if (columns > 0 && columns <= MAX_LINE_WIDTH - length) {
      text += word.text;
      columns += length;
    } else {
      text += (columns ? "\n" : "") + word.text.trim();
      columns = [...word.text.trim()].length;
    }
  }
  return { start: words[0].start, end: words.at(-1).end, text };
}

const milliseconds = (seconds) => Math.round(seconds * 1000);

function timing(cue, marker, alwaysHours) {
  return `${timestamp(cue.start, marker, alwaysHours)} --> ${timestamp(cue.end, marker, alwaysHours)}`;
}

function timestamp(seconds, marker, alwaysHours) {
  const whole = milliseconds(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3_600_000);
  const start = alwaysHours || hours ? `${two(hours)}:` : "";
  const rest = `${two(Math.floor(whole / 60_000) % 60)}:${two(Math.floor(whole / 1000) % 60)}`;
  return `${start}${rest}${marker}${String(whole % 1000).padStart(3, "0")}`;
}
