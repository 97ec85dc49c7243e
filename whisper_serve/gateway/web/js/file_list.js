/** The list of files: how far each has come, and what can be done about it. */

import { h, icon } from "./dom.js";
import { bytes, clock, number, t } from "./i18n.js";
import { inWords } from "./problems.js";

/** `act` has `select`, `retry` and `remove`, each called with a job. */
export class FileList {
  constructor(element, server, act) {
    Object.assign(this, { element, server, act, rows: new Map() });
  }

  add(job) {
    const row = new Row(job, this.server, this.act);
    this.rows.set(job, row);
    this.element.prepend(row.element);
  }

  remove(job) {
    this.rows.get(job).remove();
    this.rows.delete(job);
  }

  get jobs() {
    return [...this.rows.keys()];
  }

  select(job) {
    for (const [each, row] of this.rows) row.select(each === job);
  }

  translate() {
    for (const row of this.rows.values()) row.translate();
  }
}

class Row {
  constructor(job, server, act) {
    Object.assign(this, { job, server, act });
    this.status = h("span", { class: "status" });
    this.bar = h("progress", { max: 1, value: 0 });
    this.actions = h("span", { class: "actions" });
    this.button = h("button", { type: "button", class: "pick", onclick: () => act.select(job) });
    this.button.append(h("span", { class: "name", title: job.name }, job.name), this.status);
    this.element = h("li", { class: "file" }, this.button, this.actions, this.bar);
    this.listener = () => this.show();
    job.addEventListener("change", this.listener);
    this.show();
  }

  remove() {
    this.job.removeEventListener("change", this.listener);
    clearInterval(this.timer);
    this.element.remove();
  }

  select(selected) {
    this.element.classList.toggle("selected", selected);
    this.button.setAttribute("aria-current", String(selected));
  }

  translate() {
    this.shown = null;
    this.show();
  }

  show() {
    const { job } = this;
    this.#count();
    this.element.dataset.state = job.state;
    this.status.textContent = statusOf(job, this.server);
    this.bar.setAttribute("aria-label", t("progress_of", { name: job.name }));
    this.bar.hidden = job.ended || ["busy", "waiting", "live"].includes(job.state);
    if (job.state === "uploading") this.bar.value = job.fraction;
    else this.bar.removeAttribute("value");
    if (this.shown !== job.state) this.actions.replaceChildren(...this.#buttons());
    this.shown = job.state;
  }

  /** While the server is busy, the seconds that are left are told anew each second. */
  #count() {
    clearInterval(this.timer);
    if (this.job.state === "busy") {
      this.timer = setInterval(() => (this.status.textContent = statusOf(this.job, this.server)), 1000);
    }
  }

  #buttons() {
    const { job, act } = this;
    if (!job.ended) return [small("close", "cancel", job, () => job.cancel())];
    const remove = small("trash", "remove", job, () => act.remove(job));
    return job.state === "done" || !job.file ? [remove] : [small("again", "try_again", job, () => act.retry(job)), remove];
  }
}

function small(name, key, job, onclick) {
  const label = t(key);
  return h("button", { type: "button", class: "small", title: label, "aria-label": `${label}: ${job.name}`, onclick }, icon(name));
}

/** One line on a job. */
export function statusOf(job, server) {
  switch (job.state) {
    case "waiting":
      return t("state_waiting");
    case "uploading":
      return t("state_uploading", { percent: number(100 * job.fraction), size: bytes(job.file.size) });
    case "listening":
      return t(job.text ? "state_transcribing" : "state_listening");
    case "busy":
      return t("state_busy", { reason: inWords(job.error, server), seconds: Math.max(0, Math.ceil((job.retryAt - Date.now()) / 1000)) });
    case "live":
      return t("state_live");
    case "finishing":
      return t("state_finishing");
    case "done":
      return doneOf(job);
    case "failed":
      return inWords(job.error, server);
    default:
      return t("state_cancelled");
  }
}

function doneOf(job) {
  const length = clock(job.transcript.body.duration);
  return job.seconds ? t("state_done", { length, times: number(speedOf(job), 1) }) : length;
}

/** Seconds of audio in a second of waiting. */
export const speedOf = (job) => job.transcript.body.duration / Math.max(job.seconds, 0.001);
