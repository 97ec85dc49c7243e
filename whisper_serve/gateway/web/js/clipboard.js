/** Copying text. */

import { h } from "./dom.js";

/** Also where the page has no safe connection, and the browser therefore no clipboard for it. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = h("textarea", { class: "visually-hidden" });
  field.value = text;
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
