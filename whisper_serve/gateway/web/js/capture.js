/** Recording and live captions: the buttons, and what is shown while the microphone is open. */

import { byId } from "./dom.js";
import { clock, t } from "./i18n.js";
import { LiveJob } from "./live_job.js";
import { loudness, Microphone } from "./microphone.js";

const PROBLEMS = { NotAllowedError: "microphone_refused", NotFoundError: "microphone_missing", NotReadableError: "microphone_missing" };

/** `take(file)` is given a recording, `show(job)` a live job; `options()` and `server` are for those. */
export class Capture {
  constructor(server, options, { take, show, notify }) {
    Object.assign(this, { server, options, take, show, notify });
    byId("record").addEventListener("click", () => this.#start(false));
    byId("live").addEventListener("click", () => this.#start(true));
    byId("stop").addEventListener("click", () => this.#stop());
  }

  async #start(live) {
    const microphone = new Microphone();
    this.notify("");
    try {
      await microphone.open();
    } catch (error) {
      await microphone.close();
      return this.notify(t(PROBLEMS[error.name] ?? "microphone_insecure"));
    }
    this.microphone = microphone;
    this.name = `${t(live ? "live_name" : "recording_name", { time: stamp() })}.wav`;
    microphone.addEventListener("samples", ({ detail }) => this.#heard(detail));
    this.job = live ? this.#live() : null;
    this.#open(true);
    byId("capture-title").textContent = t(live ? "listening_live" : "recording");
    byId("stop").focus();
  }

  #live() {
    const job = new LiveJob(this.name, this.options(), this.server, this.microphone);
    job.addEventListener("change", () => job.state !== "live" && this.job === job && this.#stop());
    this.show(job);
    return job;
  }

  #heard(samples) {
    byId("capture-time").textContent = clock(this.microphone.seconds);
    byId("capture-level").value = loudness(samples);
  }

  async #stop() {
    const { microphone, job } = this;
    if (!microphone) return;
    this.microphone = null;
    this.#open(false);
    await microphone.close();
    if (job) job.finish();
    else this.take(microphone.file(this.name));
  }

  #open(open) {
    byId("capture").hidden = !open;
    byId("sources").hidden = open;
    if (!open) byId("record").focus();
  }
}

/** The time as it can stand in a file's name: the Swedish way, without colons. */
const stamp = () => new Date().toLocaleString("sv-SE").replaceAll(":", ".");
