// The collections that there are, which one is chosen, and their list at the side.

import { announce, byId, icon, make, plural } from "./dom.js";
import { asProblem } from "./run.js";

export class Corpus {
  /** @param {{chosen: (name: string) => void, creating: () => void}} actions what a click does */
  constructor(api, actions) {
    Object.assign(this, { api, actions });
    this.collections = [];
    this.next = null;
    this.problem = null;
    this.loaded = false;
    this.name = null;
    this.creating = false;
    this.list = byId("collections");
  }

  get collection() {
    return this.collections.find(({ name }) => name === this.name) ?? null;
  }

  /** Reads the list anew; what was chosen stays chosen if it is still there. */
  async load() {
    try {
      this.take(await this.api.collections());
    } catch (error) {
      this.problem = asProblem(error);
      this.loaded = true;
      this.show();
    }
  }

  take({ collections, next }) {
    const chosen = this.collection;
    this.problem = null;
    this.loaded = true;
    this.collections = collections;
    this.next = next;
    // One that stands on a later page of the list is still there.
    if (chosen && next && !this.collection) this.collections.push(chosen);
    if (!this.collection) this.name = this.first();
    this.show();
    this.reveal();
  }

  /** The first that has something to find, else the first. */
  first() {
    return (this.collections.find(({ dialogues }) => dialogues) ?? this.collections[0])?.name ?? null;
  }

  async more() {
    const { collections, next } = await this.api.collections(this.next).catch((error) => {
      announce(`Error: ${asProblem(error).title}.`);
      return { collections: [], next: this.next }; // the button stays, for another try
    });
    const known = new Set(collections.map(({ name }) => name));
    this.take({ collections: [...this.collections.filter(({ name }) => !known.has(name)), ...collections], next });
  }

  /** Reads one collection again: its counts change while it is written to. */
  async refresh(name) {
    const fresh = await this.api.collection(name);
    const place = this.collections.findIndex((other) => other.name === name);
    if (place >= 0) this.collections[place] = fresh;
    else this.collections.push(fresh);
    this.show();
    return fresh;
  }

  forget(name) {
    this.collections = this.collections.filter((other) => other.name !== name);
    if (this.name === name) this.name = this.first();
    this.show();
  }

  choose(name) {
    this.name = name;
    this.creating = false;
    this.show();
    this.reveal();
  }

  /** Where the list is a strip, the chosen one may be out of sight. */
  reveal() {
    this.list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  show() {
    const items = this.collections.map((collection) => this.item(collection));
    const more = make("button.rail-item.rail-more", { type: "button", on: { click: () => this.more() } }, "More…");
    const create = make(
      "button.rail-item.rail-new",
      { type: "button", data: { name: "" }, "aria-current": this.creating ? "true" : null, on: { click: () => this.actions.creating() } },
      icon("plus"),
      "New collection",
    );
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.name : undefined;
    this.list.replaceChildren(...[...items, this.next ? more : null, create].filter(Boolean).map((item) => make("li", {}, item)));
    if (focused !== undefined) [...items, create].find((item) => item.dataset.name === focused)?.focus({ preventScroll: true });
  }

  item({ name, dialogues, pending }) {
    const facts = plural(dialogues, "dialogue");
    return make(
      "button.rail-item",
      {
        type: "button",
        data: { name },
        "aria-current": name === this.name && !this.creating ? "true" : null,
        on: { click: () => this.actions.chosen(name) },
      },
      make("span.rail-name.rail-collection", {}, name),
      make("span.rail-facts", {}, facts, pending ? make("span.rail-pending", {}, ` · ${pending.toLocaleString("en")} pending`) : null),
    );
  }
}
