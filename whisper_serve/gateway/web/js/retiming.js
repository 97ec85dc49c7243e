/** Times of words after a correction: words that stayed keep theirs, new ones share the time between those. */

/** The words of `text` in the time of a segment, whose words have times. Corrected words have no probability. */
export function retimed(segment, text) {
  const words = text.match(/\s*\S+/g).map((each) => ({ text: each, probability: null }));
  for (const [before, after] of common(segment.words, words)) Object.assign(words[after], segment.words[before], { text: words[after].text });
  for (let at = 0; at < words.length; at++) {
    if (words[at].start !== undefined) continue;
    let end = at;
    while (end < words.length && words[end].start === undefined) end++;
    share(words.slice(at, end), words[at - 1]?.end ?? segment.start, words[end]?.start ?? segment.end);
  }
  return words;
}

function share(words, start, end) {
  const each = Math.max(0, end - start) / words.length;
  words.forEach((word, place) => {
    word.start = round(start + place * each);
    word.end = round(start + (place + 1) * each);
  });
}

const round = (seconds) => Math.round(seconds * 100) / 100;

/** Pairs of places of a longest common subsequence of two lists of words. */
function common(before, after) {
  const same = (i, j) => before[i].text.trim() === after[j].text.trim();
  const length = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      length[i][j] = same(i, j) ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    }
  }
  const pairs = [];
  for (let i = 0, j = 0; i < before.length && j < after.length; ) {
    if (same(i, j)) pairs.push([i++, j++]);
    else if (length[i + 1][j] >= length[i][j + 1]) i++;
    else j++;
  }
  return pairs;
}
