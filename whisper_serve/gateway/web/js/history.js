/** Transcripts of before, kept in this browser only (IndexedDB); recordings too, if they are not large. */

const [DATABASE, STORE] = ["whisper", "transcripts"];
const MOST = 50; // transcripts; older ones are forgotten
const LARGEST_RECORDING = 25_000_000; // bytes

/** Where a browser keeps nothing (as in some private windows), nothing is kept, and nothing fails. */
export class History {
  #database = null;

  static async open() {
    const history = new History();
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
      history.#database = await promised(request);
    } catch (error) {
      console.warn("transcripts are not kept:", error);
    }
    return history;
  }

  /** All entries, the oldest first. */
  async all() {
    const entries = (await this.#do("readonly", (store) => store.getAll())) ?? [];
    return entries.sort((one, other) => one.when - other.when);
  }

  /** Keeps a finished job as it is now. */
  async keep(job) {
    const { id, name, options, seconds, when, transcript, file } = job;
    const kept = file && file.size <= LARGEST_RECORDING ? file : null;
    const { raw, spaced } = transcript;
    const corrections = [...transcript.corrections].map(([place, segment]) => [place, segment.text]);
    await this.#do("readwrite", (store) => store.put({ id, name, options, seconds, when, raw, spaced, corrections, file: kept }));
    const entries = await this.all();
    for (const entry of entries.slice(0, Math.max(0, entries.length - MOST))) await this.forget(entry);
  }

  async forget({ id }) {
    await this.#do("readwrite", (store) => store.delete(id));
  }

  async clear() {
    await this.#do("readwrite", (store) => store.clear());
  }

  async #do(mode, work) {
    if (!this.#database) return undefined;
    try {
      return await promised(work(this.#database.transaction(STORE, mode).objectStore(STORE)));
    } catch (error) {
      console.warn("transcripts are not kept:", error);
      return undefined;
    }
  }
}

function promised(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
