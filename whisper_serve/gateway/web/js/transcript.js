/** A transcript with its words in their segments, and the corrections made to it. */

import { retimed } from "./retiming.js";

/** @typedef {{text: string, start: number, end: number, probability: ?number}} Word `text` with the space before it */

export class Transcript {
  /** `body` is the API's `verbose_json`, `raw` the same as it came, `unspaced` the codes of languages without spaces. */
  constructor(body, raw, spaced = true) {
    Object.assign(this, { body, raw, spaced });
    const words = [...(body.words ?? [])];
    this.segments = body.segments.map((segment) => ({ ...segment, words: wordsWithin(segment.text, words) }));
    this.hasWords = body.words !== undefined;
    this.corrections = new Map();
  }

  get corrected() {
    return this.corrections.size > 0;
  }

  /** The segments as corrected. */
  get current() {
    return this.segments.map((segment) => this.corrections.get(segment.id) ?? segment);
  }

  /** The whole text, as corrected. */
  get text() {
    if (!this.corrected) return this.body.text;
    return this.current.reduce((text, segment) => text + this.#gap(text, segment.text) + segment.text, "").trim();
  }

  /** Puts `text` in the place of a segment's; the segment's own text takes the correction back. */
  correct(id, text) {
    const segment = this.segments[id];
    const said = text.replace(/\s+/g, " ").trim();
    if (said === segment.text.trim()) return this.corrections.delete(id);
    const spaced = (segment.text.startsWith(" ") ? " " : "") + said;
    const words = this.hasWords && said ? retimed(segment, spaced) : [];
    this.corrections.set(id, { ...segment, text: spaced, words });
    return true;
  }

  #gap(before, after) {
    return this.spaced && before && after && !/\s$/.test(before) && !/^\s/.test(after) ? " " : "";
  }
}

/** Takes from `words`, whose spaces were cut off, those that `text` consists of, with what stands before each. */
function wordsWithin(text, words) {
  const found = [];
  let at = 0;
  while (words.length) {
    const start = text.indexOf(words[0].word, at);
    if (start < 0 || text.slice(at, start).trim()) break;
    const { word, ...rest } = words.shift();
    found.push({ ...rest, text: text.slice(at, start) + word });
    at = start + word.length;
  }
  if (found.length) found.at(-1).text += text.slice(at);
  return found;
}
