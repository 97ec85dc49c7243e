/** Finding words in a transcript; what is found is highlighted without touching the text. */

const FOUND = "found";
const CURRENT = "found-current";

/** Searches in elements; `say(place, count)` is told after each step. */
export class Search {
  #ranges = [];
  #place = 0;

  constructor(elements, say) {
    Object.assign(this, { elements, say });
  }

  find(text) {
    const wanted = text.trim().toLocaleLowerCase();
    this.#ranges = wanted ? this.elements().flatMap((element) => rangesIn(element, wanted)) : [];
    this.#place = 0;
    this.#show();
  }

  step(by) {
    const count = this.#ranges.length;
    if (!count) return;
    this.#place = (this.#place + by + count) % count;
    this.#show();
  }

  #show() {
    const current = this.#ranges[this.#place];
    if (globalThis.Highlight) {
      CSS.highlights.set(FOUND, new Highlight(...this.#ranges));
      CSS.highlights.set(CURRENT, new Highlight(...(current ? [current] : [])));
    }
    current?.startContainer.parentElement.scrollIntoView({ block: "nearest" });
    this.say(current ? this.#place + 1 : 0, this.#ranges.length);
  }
}

function rangesIn(element, wanted) {
  const nodes = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let at = 0; walker.nextNode(); at += walker.currentNode.length) nodes.push({ node: walker.currentNode, at });
  const text = element.textContent.toLocaleLowerCase();
  const ranges = [];
  for (let start = text.indexOf(wanted); start >= 0; start = text.indexOf(wanted, start + wanted.length)) {
    ranges.push(rangeOf(nodes, start, start + wanted.length));
  }
  return ranges;
}

function rangeOf(nodes, start, end) {
  const range = new Range();
  const first = nodes.findLast((each) => each.at <= start);
  const last = nodes.findLast((each) => each.at < end);
  range.setStart(first.node, Math.min(start - first.at, first.node.length));
  range.setEnd(last.node, Math.min(end - last.at, last.node.length));
  return range;
}
