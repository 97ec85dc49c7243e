/** The right side: nothing yet, a file on its way with the text as it comes, or its transcript. */

import { byId, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { statusOf } from "./file_list.js";
import { TranscriptView } from "./transcript_view.js";

export class ResultPanel {
  constructor(server, edited) {
    Object.assign(this, { server, edited, job: null, view: null });
    this.body = byId("result-body");
    this.title = byId("result-title");
    this.listener = () => this.#show();
    document.addEventListener("keydown", (event) => this.#pressed(event));
    this.#show();
  }

  select(job) {
    this.job?.removeEventListener("change", this.listener);
    this.#close();
    this.job = job;
    job?.addEventListener("change", this.listener);
    this.#show();
  }

  translate() {
    this.select(this.job);
  }

  #close() {
    this.view?.close();
    this.view = null;
    this.stream = null;
  }

  #show() {
    const { job } = this;
    this.title.textContent = job ? job.name : t("transcript");
    if (!job) return this.body.replaceChildren(empty());
    if (job.state === "done") return this.#showTranscript();
    if (this.view) this.#close();
    if (!this.stream) this.#begin();
    this.status.textContent = statusOf(job, this.server);
    this.status.className = job.state === "failed" ? "problem" : "quiet";
    this.stream.classList.toggle("running", !job.ended);
    const shown = this.said.textContent;
    if (job.text.startsWith(shown)) this.said.append(job.text.slice(shown.length));
    else this.said.textContent = job.text;
    this.interim.textContent = job.interim ? ` ${job.interim.trim()}` : "";
  }

  #begin() {
    this.status = h("p", { class: "quiet", role: "status" });
    this.said = h("span", { role: "log", "aria-live": "polite", "aria-label": t("transcript") });
    this.interim = h("span", { class: "interim" });
    this.stream = h("p", { class: "stream", dir: "auto" }, this.said, this.interim);
    this.body.replaceChildren(this.status, this.stream);
  }

  #showTranscript() {
    if (this.view) return;
    this.#close();
    this.view = new TranscriptView(this.job, this.server, this.edited);
    this.body.replaceChildren(this.view.element);
  }

  #pressed(event) {
    const field = event.target.closest?.("input, select, textarea, button, a, summary, video, [contenteditable]");
    if (!field && !event.ctrlKey && !event.metaKey && !event.altKey) this.view?.press(event);
  }
}

function empty() {
  const points = ["empty_times", "empty_correct", "empty_private"].map((key) => h("li", {}, icon("check"), t(key)));
  return h("div", { class: "empty" }, icon("wave"), h("p", {}, t("empty")), h("ul", {}, ...points));
}
