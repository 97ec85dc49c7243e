/** Starts the page. */

import { ApiError, getConfig } from "./api.js";
import { byId, h } from "./dom.js";
import { acceptFiles } from "./drop_zone.js";
import { FileList } from "./file_list.js";
import { LANGUAGES, preferredLanguage, rememberLanguage, t, useLanguage } from "./i18n.js";
import { Job, Queue } from "./jobs.js";
import { Options } from "./options.js";
import { inWords } from "./problems.js";
import { ResultPanel } from "./result_panel.js";
import { Server } from "./server.js";
import { useTheme } from "./theme.js";

class App {
  constructor(server) {
    this.server = server;
    this.options = new Options(server);
    this.queue = new Queue();
    this.result = new ResultPanel(server, () => undefined);
    const act = { select: (job) => this.select(job), retry: (job) => this.retry(job), remove: (job) => this.remove(job) };
    this.list = new FileList(byId("files"), server, act);
    acceptFiles((files) => this.take(files));
    this.#chooseLanguage(byId("page-language"));
  }

  async start() {
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
    if (this.result.job === job) this.select(null);
  }

  #begin(job) {
    this.list.add(job);
    job.addEventListener("change", () => job.error?.status === 401 && this.options.askForKey(true));
    if (this.server.isTooLarge(job.file)) {
      job.change({ state: "failed", error: new ApiError(413, { code: "upload_too_large" }) });
    } else this.queue.add(job);
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
  const app = new App(new Server(await getConfig()));
  await app.start();
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  notify(t("problem_unreachable"));
} finally {
  document.documentElement.classList.remove("loading");
}
