/** A finished transcript to read, hear, search, correct and take along. */

import { copyText } from "./clipboard.js";
import { download, h, icon } from "./dom.js";
import { FORMATS } from "./formats.js";
import { clock, languageName, number, t } from "./i18n.js";
import { Player } from "./player.js";
import { Search } from "./search.js";
import { isUnsure, SegmentRow } from "./segment_row.js";
import { snippetView } from "./snippet_view.js";
import { speedOf } from "./file_list.js";

/** `edited` is called after each correction. */
export class TranscriptView {
  #now = null;

  constructor(job, server, edited) {
    Object.assign(this, { job, server, edited, transcript: job.transcript });
    this.player = job.file ? new Player(job.file, this.transcript.segments) : null;
    const act = { jump: (seconds) => this.player?.playFrom(seconds), correct: (id, text) => this.#correct(id, text) };
    this.rows = this.transcript.current.map((segment) => new SegmentRow(segment, act));
    this.text = h("div", { class: "text", role: "region", tabindex: 0, "aria-label": t("transcript") });
    this.text.append(...this.rows.map((row) => row.element));
    if (!this.rows.length) this.text.append(h("p", { class: "quiet" }, t("nobody_speaks")));
    this.search = new Search(() => this.rows.map((row) => row.text), (place, count) => this.#found(place, count));
    const parts = [this.#facts(), this.player?.element, this.#tools(), this.text, this.#downloads(), snippetView(job, server)];
    this.element = h("div", { class: "view" }, ...parts);
    this.#showAll();
    this.player?.addEventListener("time", () => this.#follow());
  }

  close() {
    this.search.find("");
    this.player?.close();
  }

  /** Space, arrows and the like, where no field has the focus. */
  press(event) {
    const keys = { " ": () => this.player?.toggle(), ArrowLeft: () => this.player?.skip(-5), ArrowRight: () => this.player?.skip(5), "/": () => this.field.focus() };
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  }

  #facts() {
    const { body } = this.transcript;
    const facts = [
      [t("fact_language"), this.#language()],
      [t("fact_length"), clock(body.duration)],
      [t("fact_words"), number(this.transcript.text.split(/\s+/).filter(Boolean).length)],
    ];
    if (this.job.seconds) {
      facts.push([t("fact_took"), t("seconds", { seconds: number(this.job.seconds, 1) })]);
      facts.push([t("fact_speed"), t("times_real_time", { times: number(speedOf(this.job), 1) })]);
    }
    return h("dl", { class: "facts" }, ...facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  }

  /** The one that is spoken, with how likely the model took it to be, where it was found out. */
  #language() {
    const { language, source_language: spoken, language_probability: probability } = this.transcript.body;
    const english = spoken ?? language;
    const code = this.server.codeOf(english);
    if (!code) return t("unknown");
    const name = languageName(code, english);
    return probability == null ? name : t("language_found", { language: name, percent: number(100 * probability) });
  }

  #tools() {
    this.field = h("input", { type: "search", placeholder: t("search"), "aria-label": t("search") });
    this.field.addEventListener("input", () => this.search.find(this.field.value));
    this.field.addEventListener("keydown", (event) => event.key === "Enter" && this.search.step(event.shiftKey ? -1 : 1));
    this.count = h("span", { class: "count", role: "status" });
    this.mark = h("input", { type: "checkbox", checked: true });
    this.mark.addEventListener("change", () => this.text.classList.toggle("plain", !this.mark.checked));
    this.unsure = h("span", {});
    this.copied = h("span", {}, t("copy"));
    const copy = h("button", { type: "button", class: "button", onclick: () => this.#copy() }, icon("copy"), this.copied);
    this.check = h("label", { class: "check" }, this.mark, this.unsure);
    return h("div", { class: "tools" }, h("span", { class: "search" }, icon("search"), this.field, this.count), this.check, copy);
  }

  #downloads() {
    const buttons = Object.entries(FORMATS).map(([name, format]) => {
      const label = t("download_as", { format: format.extension });
      const save = () => download(this.#fileName(format), format.render(this.transcript), format.type);
      return h("button", { type: "button", class: "button", "aria-label": label, title: label, "data-format": name, onclick: save }, icon("download"), format.extension);
    });
    this.note = h("span", { class: "quiet" });
    return h("div", { class: "downloads", role: "group", "aria-label": t("downloads") }, ...buttons, this.note);
  }

  #fileName(format) {
    return `${this.job.name.replace(/\.[^.]*$/, "")}.${format.extension}`;
  }

  async #copy() {
    await copyText(this.transcript.text);
    this.copied.textContent = t("copied");
    setTimeout(() => (this.copied.textContent = t("copy")), 2000);
  }

  #correct(id, text) {
    this.transcript.correct(id, text);
    this.#show(id);
    this.#summary();
    this.edited(this.job);
  }

  #showAll() {
    for (const id of this.rows.keys()) this.#show(id);
    this.#summary();
  }

  #show(id) {
    this.rows[id].show(this.transcript.current[id], this.transcript.corrections.has(id));
  }

  #summary() {
    const segments = this.transcript.current;
    const unsure = segments.flatMap((segment) => segment.words.filter(isUnsure)).length;
    this.unsure.textContent = t("mark_unsure", { count: number(unsure) });
    this.check.hidden = !this.transcript.hasWords;
    this.note.textContent = this.transcript.corrected ? t("with_corrections", { count: this.transcript.corrections.size }) : "";
    this.marks = this.rows.flatMap((row) => marksOf(row));
  }

  #found(place, count) {
    this.count.textContent = this.field.value.trim() ? t("found", { place, count }) : "";
  }

  /** Highlights what is being said. */
  #follow() {
    const { time } = this.player;
    const mark = this.marks.findLast((each) => each.start <= time + 0.01);
    const element = mark && time < mark.end + 0.3 && !this.player.media.ended ? mark.element : null;
    if (element === this.#now) return;
    this.#now?.classList.remove("now");
    element?.classList.add("now");
    this.#now = element;
    if (element && !this.player.media.paused) element.scrollIntoView({ block: "nearest" });
  }
}

function marksOf(row) {
  if (!row.spans.length) return [{ ...row.segment, element: row.text }];
  return row.spans.map((element, place) => ({ start: row.segment.words[place].start, end: row.segment.words[place].end, element }));
}
