/** The server: OpenAI's audio API, by addresses relative to the page. */

import { EventReader } from "./sse.js";

const KEY = "whisper-key";
const DONE = "transcript.text.done";

/**
 * What went wrong: `status` is HTTP's, 0 where there was no answer. `retryAfter` is in seconds, `ahead` in seconds of audio
 * that the server still has to do; both are undefined where it did not say.
 */
export class ApiError extends Error {
  constructor(status, { message = "", code = "", param = "" } = {}, { retryAfter, ahead } = {}) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter, ahead });
  }
}

export const key = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

const authorization = () => (key.get() ? { authorization: `Bearer ${key.get()}` } : {});

export async function getConfig() {
  return getJson("page/config.json", {});
}

/** The names that requests may call the models. */
export async function getModels() {
  const list = await getJson("v1/models", authorization());
  return list.data.map((model) => model.id);
}

async function getJson(address, headers) {
  let answer;
  try {
    answer = await fetch(address, { headers });
  } catch {
    throw new ApiError(0);
  }
  if (!answer.ok) throw refusal(answer.status, await answer.text(), (name) => answer.headers.get(name));
  return answer.json();
}

/** The form's fields for what was chosen, in the order of the snippets. */
export function fieldsOf(options) {
  const fields = [["model", options.model]];
  if (options.language) fields.push(["language", options.language]);
  fields.push(["response_format", "verbose_json"], ["timestamp_granularities[]", "segment"]);
  if (options.words) fields.push(["timestamp_granularities[]", "word"]);
  return fields.filter(([, value]) => value);
}

export const pathOf = (options) =>
  options.task === "translate" ? "v1/audio/translations" : "v1/audio/transcriptions";

/**
 * Sends a file. `seen.uploaded(fraction)` and `seen.text(delta)` are called on the way; the promise is that of the last
 * event as `{body, raw}`, where `raw` is the API's `verbose_json`, byte for byte. Rejects with an ApiError, or with the
 * signal's reason when it is aborted.
 */
export function transcribe(file, options, seen, signal) {
  const form = new FormData();
  for (const [name, value] of [...fieldsOf(options), ["stream", "true"]]) form.append(name, value);
  form.append("file", file, file.name);
  return new Promise((resolve, reject) => new Exchange(resolve, reject, seen).send(pathOf(options), form, signal));
}

class Exchange {
  #reader = new EventReader();
  #done = null;

  constructor(resolve, reject, seen) {
    Object.assign(this, { resolve, reject, seen });
    this.request = new XMLHttpRequest(); // fetch tells nothing of how far an upload has come
  }

  send(path, form, signal) {
    const { request } = this;
    request.open("POST", path);
    for (const [name, value] of Object.entries(authorization())) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => this.seen.uploaded(event.total ? event.loaded / event.total : 0);
    request.upload.onload = () => this.seen.uploaded(1);
    request.onprogress = () => this.#guarded(() => request.status === 200 && this.#readOn());
    request.onload = () => this.#guarded(() => this.#end());
    request.onerror = () => this.reject(new ApiError(0));
    signal.addEventListener("abort", () => {
      request.abort();
      this.reject(signal.reason);
    });
    request.send(form);
  }

  #guarded(step) {
    try {
      step();
    } catch (error) {
      this.reject(error);
    }
  }

  #readOn() {
    for (const data of this.#reader.events(this.request.responseText)) this.#take(data);
  }

  #take(data) {
    if (data === "[DONE]") return;
    const event = JSON.parse(data);
    if (event.error) throw new ApiError(500, event.error);
    if (event.type === DONE) this.#done = { body: event, raw: data.replace(`"type": "${DONE}", `, "") };
    else this.seen.text(event.delta);
  }

  #end() {
    const { request } = this;
    if (request.status !== 200) {
      throw refusal(request.status, request.responseText, (name) => request.getResponseHeader(name));
    }
    this.#readOn();
    if (!this.#done) throw new ApiError(0);
    this.resolve(this.#done);
  }
}

function refusal(status, text, header) {
  const seconds = (name) => Number(header(name)) || undefined;
  const told = { retryAfter: seconds("retry-after"), ahead: seconds("x-audio-seconds-ahead") };
  try {
    return new ApiError(status, JSON.parse(text).error, told);
  } catch {
    return new ApiError(status, {}, told); // not this server, but something before it
  }
}
