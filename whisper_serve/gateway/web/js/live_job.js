/** Captions of the microphone: text while somebody speaks. When it ends it is a file like others, with its transcript. */

import { ApiError, getModels, key } from "./api.js";
import { Job } from "./jobs.js";
import { Transcript } from "./transcript.js";

const KEY_PROTOCOL = ["whisper-live", "openai-insecure-api-key."];

/**
 * Beside a job's states it has `live` and `finishing`. `text` is final, `interim` may still change. If the stream fails, what
 * was heard can be sent as a file by trying again.
 */
export class LiveJob extends Job {
  #finals = [];

  constructor(name, options, server, microphone) {
    super({ name }, options, server);
    this.microphone = microphone;
    this.file = null;
    this.change({ state: "live", interim: "" });
    this.#open();
  }

  /** No more audio comes: wait for the rest of the text. */
  finish() {
    if (this.state !== "live") return;
    this.change({ state: "finishing" });
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "end" }));
  }

  cancel() {
    this.#hold();
    super.cancel();
    this.socket.close();
  }

  #open() {
    this.socket = new WebSocket(address(this.options, this.microphone.rate), protocols());
    this.socket.binaryType = "arraybuffer";
    const waiting = [];
    const send = ({ detail }) => {
      if (this.state !== "live") return;
      if (this.socket.readyState === WebSocket.OPEN) this.socket.send(detail);
      else waiting.push(detail);
    };
    this.microphone.addEventListener("samples", send);
    this.socket.onopen = () => {
      for (const block of waiting.splice(0)) this.socket.send(block);
      if (this.state === "finishing") this.socket.send(JSON.stringify({ type: "end" }));
    };
    this.socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    this.socket.onclose = () => {
      this.microphone.removeEventListener("samples", send);
      this.#lose();
    };
  }

  #hear(event) {
    if (event.type === "interim") this.change({ interim: event.text });
    if (event.type === "final") this.#settle(event);
    if (event.type === "error") this.#fail(new ApiError(statusOf(event.error), event.error));
    if (event.type === "done") this.#end(event.duration);
  }

  #settle(event) {
    this.#finals.push(event);
    const text = event.text.trim();
    const space = this.text && text && this.#spaced ? " " : "";
    this.change({ text: this.text + space + text, interim: "" });
  }

  get #spaced() {
    return this.options.task === "translate" || !this.server.config.unspaced.includes(this.#finals[0]?.language);
  }

  #end(duration) {
    this.#hold();
    const body = bodyOf(this.#finals, duration, this.text, this.options, this.server);
    this.change({ state: "done", interim: "", transcript: new Transcript(body, JSON.stringify(body), this.#spaced) });
  }

  #hold() {
    this.file ??= this.microphone.file(this.name);
  }

  #fail(error) {
    if (this.ended) return;
    this.#hold();
    this.change({ state: "failed", interim: "", error });
  }

  /** The connection ended before its time. A browser does not tell why it was refused, so the server is asked. */
  async #lose() {
    if (this.ended) return;
    try {
      await getModels();
      this.#fail(new ApiError(429));
    } catch (error) {
      this.#fail(error);
    }
  }
}

function address({ language, task, words, model }, rate) {
  const found = new URL("v1/audio/stream", location);
  found.protocol = found.protocol.replace("http", "ws");
  found.hash = "";
  const wanted = { encoding: "pcm_s16le", sample_rate: rate, task, words, language, model };
  found.search = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value !== "")).toString();
  return found;
}

const protocols = () => (key.get() ? [KEY_PROTOCOL[0], KEY_PROTOCOL[1] + key.get()] : []);

const statusOf = (error) => (error.type === "rate_limit_error" ? 429 : error.type === "invalid_request_error" ? 400 : 500);

/** What the API's `verbose_json` would be of the whole, without the members that a stream does not tell. */
function bodyOf(finals, duration, text, { task, words }, server) {
  const said = finals.filter((final) => final.text.trim());
  const segments = said.flatMap((final) => final.segments).map((segment, id) => ({ ...segment, id }));
  const spoken = server.config.languages[said[0]?.language] ?? "unknown";
  return {
    task,
    ...(task === "translate" ? { language: "english", source_language: spoken } : { language: spoken }),
    duration,
    text,
    segments,
    ...(words ? { words: said.flatMap((final) => final.words) } : {}),
  };
}
