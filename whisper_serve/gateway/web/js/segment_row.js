/** One segment of a transcript: when it was said, its words, and a pencil to correct it. */

import { h, icon } from "./dom.js";
import { clock, number, t } from "./i18n.js";

const UNSURE = 0.5; // words less probable than this are marked

export const isUnsure = (word) => word.probability !== null && word.probability < UNSURE;

/** `act.jump(seconds)` plays from there, `act.correct(id, text)` stores a correction. `spans` are those of the words. */
export class SegmentRow {
  constructor(segment, act) {
    Object.assign(this, { act });
    this.text = h("p", { class: "words", dir: "auto", ondblclick: () => this.edit() });
    this.time = h("button", { type: "button", class: "time", onclick: () => act.jump(this.segment.start) }, clock(segment.start));
    this.time.setAttribute("aria-label", t("play_from", { time: clock(segment.start) }));
    this.text.addEventListener("click", (event) => this.#clicked(event));
    this.text.addEventListener("keydown", (event) => this.#typed(event));
    this.text.addEventListener("blur", () => this.#leave(true));
    const label = t("correct");
    this.pencil = h("button", { type: "button", class: "small pencil", title: label, onclick: () => this.edit() }, icon("pencil"));
    this.pencil.setAttribute("aria-label", `${label}: ${clock(segment.start)}`);
    this.element = h("div", { class: "segment" }, this.time, this.text, this.pencil);
    this.show(segment, false);
  }

  show(segment, corrected) {
    this.segment = segment;
    this.spans = segment.words.map((word) => span(word));
    const pieces = this.spans.flatMap((each, place) => [spaceBefore(segment.words[place], place), each]);
    this.text.replaceChildren(...(pieces.length ? pieces : [segment.text.trim()]));
    this.element.classList.toggle("corrected", corrected);
  }

  edit() {
    if (this.editing) return;
    this.editing = true;
    this.text.textContent = this.segment.text.trim();
    this.text.setAttribute("contenteditable", "plaintext-only");
    this.text.setAttribute("role", "textbox");
    this.text.setAttribute("aria-label", t("correct"));
    this.text.focus();
    getSelection().selectAllChildren(this.text);
    getSelection().collapseToEnd();
  }

  #leave(keep) {
    if (!this.editing) return;
    this.editing = false;
    const text = this.text.textContent;
    for (const name of ["contenteditable", "role", "aria-label"]) this.text.removeAttribute(name);
    if (keep) this.act.correct(this.segment.id, text);
    else this.show(this.segment, this.element.classList.contains("corrected"));
  }

  #clicked(event) {
    const place = this.spans.indexOf(event.target.closest("span"));
    if (this.editing || !getSelection().isCollapsed) return;
    if (place >= 0) this.act.jump(this.segment.words[place].start);
  }

  #typed(event) {
    if (!this.editing || !["Enter", "Escape"].includes(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
    this.#leave(event.key === "Enter");
    this.pencil.focus();
  }
}

/** The space is no part of what is marked or clicked. */
const spaceBefore = (word, place) => (place ? word.text.slice(0, word.text.length - word.text.trimStart().length) : "");

function span(word) {
  const element = h("span", {}, word.text.trimStart());
  if (isUnsure(word)) {
    element.className = "unsure";
    element.title = t("unsure_word", { percent: number(100 * word.probability) });
  }
  return element;
}
