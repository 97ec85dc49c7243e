/** Ready-made commands below a transcript, one at a time. */

import { h, icon } from "./dom.js";
import { copyText } from "./clipboard.js";
import { t } from "./i18n.js";
import { snippetsFor } from "./snippets.js";

export function snippetView(job, server) {
  const snippets = snippetsFor(job.name, job.options, server);
  const code = h("code", {});
  const choice = h("select", { "aria-label": t("snippet_kind") }, ...snippets.map(([name], place) => h("option", { value: place }, name)));
  const copied = h("span", {}, t("copy_snippet"));
  const copy = h("button", { type: "button", class: "button", onclick: () => take() }, icon("copy"), copied);
  const show = () => (code.textContent = snippets[choice.value][1]);
  const take = async () => {
    await copyText(code.textContent);
    copied.textContent = t("copied");
    setTimeout(() => (copied.textContent = t("copy_snippet")), 2000);
  };
  choice.addEventListener("change", show);
  show();
  const tools = h("div", { class: "snippet-tools" }, choice, copy);
  const shown = h("pre", { class: "snippet", tabindex: 0, role: "region", "aria-label": t("snippets") }, code);
  return h("details", { class: "snippets" }, h("summary", {}, icon("code"), t("snippets")), tools, shown);
}
