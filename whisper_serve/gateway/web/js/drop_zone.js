/** Files that are dropped anywhere on the page, chosen or pasted. */

import { byId } from "./dom.js";

/** `take` is called with a list of files. */
export function acceptFiles(take) {
  const [zone, field] = [byId("drop"), byId("file")];
  field.addEventListener("change", () => {
    take([...field.files]);
    field.value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget ?? zone.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => event.clipboardData.files.length && take([...event.clipboardData.files]));
}
