/** Plays the file itself, in the browser: nothing is sent anywhere. */

import { h, icon } from "./dom.js";
import { clock, t } from "./i18n.js";

const LARGEST_WAVEFORM = 50_000_000; // bytes; the browser decodes all of the file to draw it
const SPEEDS = [0.75, 1, 1.25, 1.5, 2];

/** `element` has the controls; `time` events come while it plays, and after each jump. */
export class Player extends EventTarget {
  constructor(file, segments) {
    super();
    Object.assign(this, { file, segments });
    this.url = URL.createObjectURL(file);
    const video = file.type.startsWith("video/");
    this.media = h(video ? "video" : "audio", { src: this.url, preload: "metadata", class: video ? "video" : "hidden" });
    this.#controls();
    this.#listen();
    this.waveform = h("div", { class: "waveform", "aria-hidden": "true" });
    this.problem = h("p", { class: "notice", hidden: true });
    this.bar = h("div", { class: "transport" }, this.button, this.seek, this.clock, this.speed);
    this.element = h("div", { class: "player" }, this.media, this.waveform, this.bar, this.problem);
    this.#draw();
  }

  get time() {
    return this.media.currentTime;
  }

  /** Jumps to a place, in seconds, and plays from there. */
  playFrom(seconds) {
    this.media.currentTime = seconds;
    this.media.play().catch(() => this.#fail());
  }

  toggle() {
    if (this.media.paused) this.media.play().catch(() => this.#fail());
    else this.media.pause();
  }

  skip(seconds) {
    this.media.currentTime = Math.max(0, this.time + seconds);
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.media.pause();
    this.surfer?.destroy();
    this.closed = true;
    URL.revokeObjectURL(this.url);
  }

  #controls() {
    this.button = h("button", { type: "button", class: "play", onclick: () => this.toggle() });
    this.seek = h("input", { type: "range", min: 0, max: 0, step: 0.1, value: 0, class: "seek", "aria-label": t("position") });
    this.seek.addEventListener("input", () => (this.media.currentTime = Number(this.seek.value)));
    this.clock = h("span", { class: "clock" });
    const choices = SPEEDS.map((speed) => h("option", { value: speed, selected: speed === 1 }, `${speed}×`));
    this.speed = h("select", { class: "speed", "aria-label": t("speed") }, ...choices);
    this.speed.addEventListener("change", () => (this.media.playbackRate = Number(this.speed.value)));
    this.#showState();
  }

  #listen() {
    const { media } = this;
    for (const name of ["play", "pause", "ended"]) media.addEventListener(name, () => this.#showState());
    for (const name of ["loadedmetadata", "durationchange", "seeked", "timeupdate"]) {
      media.addEventListener(name, () => this.#showTime());
    }
    media.addEventListener("play", () => this.#follow());
    media.addEventListener("error", () => this.#fail());
  }

  #follow() {
    this.#showTime();
    if (!this.media.paused) this.frame = requestAnimationFrame(() => this.#follow());
  }

  #showState() {
    const label = t(this.media.paused ? "play" : "pause");
    this.button.replaceChildren(icon(this.media.paused ? "play" : "pause"));
    this.button.setAttribute("aria-label", label);
    this.button.title = label;
    this.#showTime();
  }

  #showTime() {
    const length = Number.isFinite(this.media.duration) ? this.media.duration : 0;
    this.seek.max = length;
    this.seek.value = this.time;
    this.seek.setAttribute("aria-valuetext", clock(this.time));
    this.clock.textContent = `${clock(this.time)} / ${clock(length)}`;
    this.dispatchEvent(new Event("time"));
  }

  #fail() {
    if (this.closed || !this.media.error) return;
    this.problem.textContent = t("cannot_play");
    this.problem.hidden = false;
    this.bar.hidden = true;
    this.waveform.hidden = true;
  }

  async #draw() {
    if (this.file.size > LARGEST_WAVEFORM) return (this.waveform.hidden = true);
    try {
      const { drawWaveform } = await import("./waveform.js");
      if (!this.closed) this.surfer = await drawWaveform(this.waveform, this.media, this.file, this.segments);
    } catch {
      this.waveform.hidden = true; // what cannot be decoded here may still play, and is transcribed all the same
    }
  }
}
