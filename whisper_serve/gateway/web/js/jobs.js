/** Files on their way: sent some at a time, tried again when the server is busy, until they are done or cancelled. */

import { ApiError, transcribe } from "./api.js";
import { Transcript } from "./transcript.js";

const AT_ONCE = 2;
const BUSY = new Set([429, 503]);
const WAIT_SECONDS = 5;

/**
 * One file. Its `state` is `waiting`, `uploading` (see `fraction`), `listening` (text comes into `text`), `busy` (until
 * `retryAt`), `done` (see `transcript`), `failed` (see `error`) or `cancelled`. Each change is a `change` event.
 */
export class Job extends EventTarget {
  #abort = new AbortController();

  constructor(file, options, server) {
    super();
    Object.assign(this, { file, options, server, name: file.name, id: crypto.randomUUID?.() ?? String(Math.random()) });
    this.when = Date.now();
    this.reset();
  }

  /** A finished one of before, from an entry of the history. */
  static restored(entry, server) {
    const { id, name, options, seconds, when, raw, spaced, corrections, file } = entry;
    const job = new Job({ name }, options, server);
    const transcript = new Transcript(JSON.parse(raw), raw, spaced);
    for (const [place, text] of corrections) transcript.correct(place, text);
    return Object.assign(job, { id, seconds, when, file, transcript, text: transcript.text, state: "done" });
  }

  reset() {
    this.#abort = new AbortController();
    Object.assign(this, { state: "waiting", fraction: 0, text: "", error: null, transcript: null, retryAt: 0 });
  }

  get ended() {
    return ["done", "failed", "cancelled"].includes(this.state);
  }

  get signal() {
    return this.#abort.signal;
  }

  change(values) {
    Object.assign(this, values);
    this.dispatchEvent(new Event("change"));
  }

  cancel() {
    if (this.ended) return;
    this.#abort.abort(new DOMException("cancelled", "AbortError"));
    this.change({ state: "cancelled" });
  }

  /** Sends it until there is an answer other than that the server is busy. */
  async run() {
    while (!this.ended) {
      try {
        await this.#attempt();
      } catch (error) {
        if (this.ended) return;
        if (!(error instanceof ApiError)) console.error(error);
        if (!BUSY.has(error.status)) return this.change({ state: "failed", error });
        await this.#pause(error);
      }
    }
  }

  async #attempt() {
    this.change({ state: "uploading", fraction: 0, text: "" });
    let sent = performance.now();
    const seen = {
      uploaded: (fraction) => {
        sent = performance.now();
        this.change(fraction < 1 ? { fraction } : { state: "listening", fraction });
      },
      text: (delta) => this.change({ state: "listening", text: this.text + delta }),
    };
    const { body, raw } = await transcribe(this.file, this.options, seen, this.signal);
    const seconds = (performance.now() - sent) / 1000;
    const spaced = !this.server.isUnspaced(body.language);
    this.change({ state: "done", seconds, transcript: new Transcript(body, raw, spaced) });
  }

  async #pause(error) {
    const seconds = error.retryAfter || WAIT_SECONDS;
    this.change({ state: "busy", error, retryAt: Date.now() + seconds * 1000 });
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
}

/** Runs jobs in the order in which they were added. */
export class Queue {
  #waiting = [];
  #running = 0;

  add(job) {
    this.#waiting.push(job);
    this.#next();
  }

  async #next() {
    if (this.#running >= AT_ONCE || !this.#waiting.length) return;
    const job = this.#waiting.shift();
    this.#running++;
    try {
      await job.run();
    } finally {
      this.#running--;
      this.#next();
    }
  }
}
