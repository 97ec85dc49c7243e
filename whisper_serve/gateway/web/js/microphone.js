/** The microphone: what it hears, as 16-bit samples, kept so that it can be heard again. */

const RATE = 16000; // what the model hears; a browser that cannot do it keeps its own

/** `samples` events come with an Int16Array of a tenth of a second as `detail`. */
export class Microphone extends EventTarget {
  #blocks = [];
  #length = 0;

  /** Rejects with a DOMException, or a TypeError where the page may use no microphone at all. */
  async open() {
    const wanted = { channelCount: 1, noiseSuppression: true, autoGainControl: true };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    try {
      await this.#connect(new AudioContext({ sampleRate: RATE }));
    } catch {
      await this.#connect(new AudioContext());
    }
  }

  get rate() {
    return this.context.sampleRate;
  }

  /** Seconds heard so far. */
  get seconds() {
    return this.context ? this.#length / this.rate : 0;
  }

  async close() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    if (this.context?.state !== "closed") await this.context?.close();
  }

  /** All that was heard, as a WAV file. */
  file(name) {
    return new File([waveHead(2 * this.#length, this.rate), ...this.#blocks], name, { type: "audio/wav" });
  }

  async #connect(context) {
    this.context = context;
    await context.audioWorklet.addModule(new URL("pcm_worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "pcm", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => this.#take(data);
    context.createMediaStreamSource(this.stream).connect(node);
    await context.resume();
  }

  #take(block) {
    this.#blocks.push(block);
    this.#length += block.length;
    this.dispatchEvent(new CustomEvent("samples", { detail: block }));
  }
}

/** Of a WAV file with one channel of 16 bits: 44 bytes. */
function waveHead(bytes, rate) {
  const head = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, place) => head.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF");
  head.setUint32(4, 36 + bytes, true);
  text(8, "WAVEfmt ");
  head.setUint32(16, 16, true);
  [1, 1].forEach((value, place) => head.setUint16(20 + 2 * place, value, true));
  head.setUint32(24, rate, true);
  head.setUint32(28, 2 * rate, true);
  [2, 16].forEach((value, place) => head.setUint16(32 + 2 * place, value, true));
  text(36, "data");
  head.setUint32(40, bytes, true);
  return head.buffer;
}

/** How loud samples are, from 0 to 1, as ears have it. */
export function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  const decibels = 20 * Math.log10(Math.sqrt(sum / samples.length) / 32768 + 1e-6);
  return Math.max(0, Math.min(1, (decibels + 60) / 50));
}
