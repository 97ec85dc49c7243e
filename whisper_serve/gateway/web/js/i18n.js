/** Words of the page, in the reader's language. */

export const LANGUAGES = { en: "English", de: "Deutsch", fr: "Français" };
const STORED = "whisper-language";

let words = {};
let current = "en";

/** The language chosen before, or the first of the browser's that there is. */
export function preferredLanguage() {
  const wanted = [localStorage.getItem(STORED), ...navigator.languages].filter(Boolean);
  return wanted.map((each) => each.split("-")[0]).find((each) => each in LANGUAGES) ?? "en";
}

export async function useLanguage(language) {
  const module = await import(`../locales/${language}.js`);
  words = module.default;
  current = language;
  document.documentElement.lang = language;
  translate(document);
}

export function rememberLanguage(language) {
  localStorage.setItem(STORED, language);
}

/** The words of a key, with `{name}` replaced by values. */
export function t(key, values = {}) {
  const text = words[key];
  if (text === undefined) throw new Error(`no words for ${key}`);
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** Fills elements with `data-t` (text), `data-t-label` (aria-label, title) and `data-t-placeholder`. */
export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", t(element.dataset.tLabel));
    element.title = t(element.dataset.tLabel);
  }
  for (const element of root.querySelectorAll("[data-t-placeholder]")) {
    element.placeholder = t(element.dataset.tPlaceholder);
  }
}

/** What a language is called in the reader's. */
export function languageName(code, english) {
  let name;
  try {
    name = new Intl.DisplayNames([current], { type: "language", fallback: "none" }).of(code);
  } catch {
    name = undefined;
  }
  const known = name ?? english;
  return known.charAt(0).toLocaleUpperCase(current) + known.slice(1);
}

export const number = (value, digits = 0) =>
  new Intl.NumberFormat(current, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);

/** Seconds in words, as seconds below a minute, minutes below an hour, and else hours. */
export function duration(seconds) {
  const [unit, size] = seconds < 60 ? ["second", 1] : seconds < 3600 ? ["minute", 60] : ["hour", 3600];
  const style = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: unit === "hour" ? 1 : 0 };
  return new Intl.NumberFormat(current, style).format(seconds / size);
}

export function bytes(size) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte"];
  const step = Math.min(units.length - 1, size ? Math.floor(Math.log10(size) / 3) : 0);
  const style = { style: "unit", unit: units[step], unitDisplay: "short", maximumFractionDigits: 1 };
  return new Intl.NumberFormat(current, style).format(size / 1000 ** step);
}

/** `m:ss`, or `h:mm:ss` from an hour on. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
