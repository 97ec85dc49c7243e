/** What is asked of the model, chosen in the form; the choice is remembered in the browser. */

import { byId, h } from "./dom.js";
import { getModels, key } from "./api.js";
import { languageName, t } from "./i18n.js";

const STORED = "whisper-options";

export class Options {
  constructor(server) {
    this.server = server;
    this.form = byId("options");
    this.fields = this.form.elements;
    this.stored = JSON.parse(localStorage.getItem(STORED) ?? "{}");
    this.fields.key.value = key.get();
    this.askForKey(server.config.keys);
    this.fields.words.checked = this.stored.words ?? true;
    this.fields.task.value = this.stored.task ?? "transcribe";
    this.form.addEventListener("change", () => this.#changed());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.translate();
  }

  /** `{language, task, model, words}`; an empty language is found out. */
  get value() {
    const { language, task, model, words } = this.fields;
    return { language: language.value, task: task.value, model: model.value, words: words.checked };
  }

  async loadModels() {
    const models = await getModels();
    const chosen = this.fields.model.value || this.stored.model;
    this.fields.model.replaceChildren(...models.map((name) => h("option", { value: name }, name)));
    this.fields.model.value = models.includes(chosen) ? chosen : models[0];
  }

  askForKey(needed) {
    byId("key-row").hidden = !needed;
  }

  translate() {
    const chosen = this.fields.language.value || this.stored.language || "";
    const names = Object.entries(this.server.config.languages).map(([code, english]) => [code, languageName(code, english)]);
    names.sort((one, other) => one[1].localeCompare(other[1]));
    const choices = names.map(([code, name]) => h("option", { value: code }, name));
    this.fields.language.replaceChildren(h("option", { value: "" }, t("language_auto")), ...choices);
    this.fields.language.value = chosen;
  }

  async #changed() {
    localStorage.setItem(STORED, JSON.stringify(this.value));
    if (this.fields.key.value === key.get()) return;
    key.set(this.fields.key.value.trim());
    await this.loadModels().catch(() => undefined);
  }
}
