/** Server-sent events, read from text that grows. */

export class EventReader {
  #read = 0;

  /** The data of all events that `text` holds whole and that were not given before. */
  *events(text) {
    for (;;) {
      const end = text.indexOf("\n\n", this.#read);
      if (end < 0) return;
      const event = text.slice(this.#read, end);
      this.#read = end + 2;
      const lines = event.split("\n").filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).replace(/^ /, "")).join("\n");
    }
  }
}
