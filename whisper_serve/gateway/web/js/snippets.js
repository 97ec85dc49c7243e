/** What was just done, as a command or a program. */

import { fieldsOf, key, pathOf } from "./api.js";

/** For each way its name and its text: `name` is the file's, `options` what was chosen, `server` knows the gRPC port. */
export function snippetsFor(name, options, server) {
  const found = [
    ["curl", curl(name, options)],
    ["Python (OpenAI)", openai(name, options)],
  ];
  if (server.config.grpc_port) found.push(["Python (gRPC)", grpc(name, options, server.config.grpc_port)]);
  return found;
}

const base = () => new URL(".", location).href;
const hasKey = () => key.get() !== "";

/** Quoted for a POSIX shell. */
const shell = (text) => (/^[\w./:=@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** JSON's strings are Python's too. */
const python = (text) => JSON.stringify(text);

function curl(name, options) {
  const fields = fieldsOf(options).map(([field, value]) => `-F ${shell(`${field}=${value}`)}`);
  // curl itself reads ; and , in a file's name, unless it is quoted for it.
  const file = /[;,"\\]/.test(name) ? `file=@"${name.replace(/(["\\])/g, "\\$1")}"` : `file=@${name}`;
  const lines = [shell(base() + pathOf(options)), `-F ${shell(file)}`, ...fields];
  if (hasKey()) lines.splice(1, 0, '-H "Authorization: Bearer $WHISPER_API_KEY"');
  return `curl ${lines.join(" \\\n  ")}\n`;
}

function openai(name, options) {
  const call = options.task === "translate" ? "translations" : "transcriptions";
  const given = [`model=${python(options.model || "whisper-1")}`, "file=file", 'response_format="verbose_json"'];
  if (call === "transcriptions") {
    if (options.language) given.push(`language=${python(options.language)}`);
    given.push(`timestamp_granularities=["segment"${options.words ? ', "word"' : ""}]`);
  } else if (options.language) given.push(`extra_body={"language": ${python(options.language)}}`);
  const [start, api] = hasKey()
    ? ["import os\n\nfrom openai import OpenAI", 'os.environ["WHISPER_API_KEY"]']
    : ["from openai import OpenAI", '"none"'];
  return `${start}

client = OpenAI(base_url=${python(`${base()}v1`)}, api_key=${api})
with open(${python(name)}, "rb") as file:
    transcript = client.audio.${call}.create(
        ${given.join(",\n        ")},
    )
print(transcript.text)
`;
}

function grpc(name, options, port) {
  const given = options.model ? [`model=${python(options.model)}`] : [];
  if (options.language) given.push(`language=${python(options.language)}`);
  if (options.task === "translate") given.push('task="TASK_TRANSLATE"');
  if (options.words) given.push("word_timestamps=True");
  const [start, api] = hasKey() ? ["import os\n\n", ', key=os.environ["WHISPER_API_KEY"]'] : ["", ""];
  return `${start}from whisper_serve.client import SpeechClient, TranscriptionOptions

options = TranscriptionOptions(${given.join(", ")})
with SpeechClient(${python(`${location.hostname}:${port}`)}${api}) as client:
    print(client.transcribe(${python(name)}, options).text)
`;
}
