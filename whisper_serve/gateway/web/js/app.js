/** Starts the page. */

import { ApiError, getConfig } from "./api.js";
import { Capture } from "./capture.js";
import { byId, h } from "./dom.js";
import { acceptFiles } from "./drop_zone.js";
import { FileList } from "./file_list.js";
import { History } from "./history.js";
import { LANGUAGES, preferredLanguage, rememberLanguage, t, useLanguage } from "./i18n.js";
import { Job, Queue } from "./jobs.js";
import { Options } from "./options.js";
import { inWords } from "./problems.js";
import { ResultPanel } from "./result_panel.js";
import { Server } from "./server.js";
import { useTheme } from "./theme.js";

class App {
  constructor(server, history) {
    Object.assign(this, { server, history });
    this.options = new Options(server);
    this.queue = new Queue();
    this.result = new ResultPanel(server, (job) => history.keep(job));
    const act = { select: (job) => this.select(job), retry: (job) => this.retry(job), remove: (job) => this.remove(job) };
    this.list = new FileList(byId("files"), server, act);
    acceptFiles((files) => this.take(files));
    this.capture = new Capture(server, () => this.options.value, { take: (file) => this.take([file]), show: (job) => this.show(job), notify });
    byId("clear").addEventListener("click", () => this.clear());
    this.#chooseLanguage(byId("page-language"));
  }

  async start() {
    for (const entry of await this.history.all()) this.list.add(Job.restored(entry, this.server));
    try {
      await this.options.loadModels();
    } catch (error) {
      if (error.status === 401) this.options.askForKey(true);
      else notify(inWords(error, this.server));
    }
  }

  take(files) {
    const jobs = files.map((file) => new Job(file, this.options.value, this.server));
    for (const job of jobs) this.#begin(job);
    if (jobs.length) this.select(jobs[0]);
  }

  /** A job that runs by itself. */
  show(job) {
    this.list.add(job);
    this.#watch(job);
    this.select(job);
  }

  select(job) {
    this.list.select(job);
    this.result.select(job);
  }

  retry(job) {
    job.reset();
    job.options = this.options.value;
    this.queue.add(job);
    this.select(job);
  }

  remove(job) {
    this.list.remove(job);
    this.history.forget(job);
    if (this.result.job === job) this.select(null);
  }

  #begin(job) {
    this.list.add(job);
    this.#watch(job);
    if (this.server.isTooLarge(job.file)) {
      job.change({ state: "failed", error: new ApiError(413, { code: "upload_too_large" }) });
    } else this.queue.add(job);
  }

  #watch(job) {
    job.addEventListener("change", () => {
      if (job.error?.status === 401) this.options.askForKey(true);
      if (job.state === "done") this.history.keep(job);
    });
  }

  /** Forgets all that has ended. */
  clear() {
    if (!confirm(t("clear_question"))) return;
    for (const job of this.list.jobs.filter((each) => each.ended)) this.remove(job);
    this.history.clear();
  }

  #chooseLanguage(field) {
    field.append(...Object.entries(LANGUAGES).map(([code, name]) => h("option", { value: code, lang: code }, name)));
    field.value = document.documentElement.lang;
    field.addEventListener("change", async () => {
      rememberLanguage(field.value);
      await useLanguage(field.value);
      for (const part of [this.options, this.list, this.result]) part.translate();
    });
  }
}

function notify(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

useTheme(byId("theme"));
await useLanguage(preferredLanguage());
try {
  const app = new App(new Server(await getConfig()), await History.open());
  await app.start();
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  notify(t("problem_unreachable"));
} finally {
  document.documentElement.classList.remove("loading");
}
