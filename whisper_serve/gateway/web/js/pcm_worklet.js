/** Samples of the microphone as signed 16-bit integers, a tenth of a second at a time. */

class Pcm extends AudioWorkletProcessor {
  #block = new Int16Array(Math.round(sampleRate / 10));
  #filled = 0;

  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.#block[this.#filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.#filled === this.#block.length) this.#send();
    }
    return true;
  }

  #send() {
    this.port.postMessage(this.#block, [this.#block.buffer]);
    this.#block = new Int16Array(Math.round(sampleRate / 10));
    this.#filled = 0;
  }
}

registerProcessor("pcm", Pcm);
