/** The waveform with the segments in it, by wavesurfer.js; loaded when a transcript is first shown. */

import Regions from "../vendor/wavesurfer-8.0.1/regions.esm.js";
import WaveSurfer from "../vendor/wavesurfer-8.0.1/wavesurfer.esm.js";

const HEIGHT = 72; // the content security policy knows the style that belongs to it

/** Draws what `file` holds; a click moves `media`, which plays the same. Resolves when it is drawn. */
export async function drawWaveform(container, media, file, segments) {
  const colour = (name) => getComputedStyle(container).getPropertyValue(name).trim();
  const audio = await decoded(file);
  const regions = Regions.create();
  const surfer = WaveSurfer.create({
    container,
    media,
    height: HEIGHT,
    peaks: Array.from({ length: audio.numberOfChannels }, (_, channel) => audio.getChannelData(channel)),
    duration: audio.duration,
    waveColor: colour("--wave"),
    progressColor: colour("--accent"),
    cursorColor: colour("--accent"),
    cursorWidth: 2,
    barWidth: 2,
    barGap: 1,
    barRadius: 2,
    normalize: true,
    plugins: [regions],
  });
  surfer.once("ready", () => {
    surfer.setTime(media.currentTime); // somebody may have jumped already
    segments.forEach(({ start, end }, place) => {
      const color = colour(place % 2 ? "--region-odd" : "--region-even");
      regions.addRegion({ start, end, color, drag: false, resize: false });
    });
  });
  return surfer;
}

/** The media element has the file already; what is drawn is decoded at a low rate, which is enough for it. */
async function decoded(file) {
  return new OfflineAudioContext(1, 1, 8000).decodeAudioData(await file.arrayBuffer());
}
