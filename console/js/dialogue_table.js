// The dialogues of a collection, a page at a time.

import { icon, make, plural } from "./dom.js";
import { problemCard } from "./panel.js";
import { asProblem } from "./run.js";

const PAGE = 20;
const STATES = { queued: "waiting", running: "indexing", failed: "failed", cancelled: "cancelled" };

export class DialogueTable {
  /** @param {{open: (id: string) => void, remove: (id: string) => void}} actions */
  constructor(root, api, { open, remove }) {
    Object.assign(this, { root, api, open, remove });
    this.total = 0;
    this.name = null;
    this.controller = null;
    this.list = make("ul.rows");
    this.where = make("p.rows-where", { "aria-live": "polite" });
    this.back = make("button.button.button-small", { type: "button", on: { click: () => this.turn(-1) } }, icon("left"), "Previous");
    this.forth = make("button.button.button-small", { type: "button", on: { click: () => this.turn(1) } }, "Next", icon("right"));
    this.pager = make("div.pager", {}, this.back, this.where, this.forth);
    this.title = make("h3.section-title", {}, "Dialogues");
  }

  show(name) {
    this.name = name;
    this.cursors = [null]; // of the pages up to this one
    this.next = null;
    this.root.replaceChildren(this.title, this.list, this.pager);
    this.list.replaceChildren(...Array.from({ length: 4 }, () => make("li.row-skeleton", { "aria-hidden": "true" })));
    this.pager.hidden = true;
    return this.reload();
  }

  turn(by) {
    if (by > 0) this.cursors.push(this.next);
    else this.cursors.pop();
    return this.reload();
  }

  async reload() {
    this.controller?.abort();
    const controller = (this.controller = new AbortController());
    this.list.classList.add("rows-old");
    try {
      const page = await this.api.dialogues(this.name, PAGE, this.cursors.at(-1), controller.signal);
      if (controller.signal.aborted) return;
      if (!page.dialogues.length && this.cursors.length > 1) return this.turn(-1); // its last one is gone
      this.take(page);
    } catch (error) {
      if (controller.signal.aborted) return;
      const problem = asProblem(error);
      this.list.replaceChildren(make("li", {}, problemCard(problem, { retry: () => this.reload() })));
      this.pager.hidden = true;
    } finally {
      if (this.controller === controller) this.list.classList.remove("rows-old");
    }
  }

  take({ dialogues, next }) {
    this.next = next;
    const focused = [...this.list.children].findIndex((row) => row.contains(document.activeElement));
    this.list.replaceChildren(...dialogues.map((dialogue) => this.row(dialogue)));
    if (focused >= 0) [...this.list.children].at(Math.min(focused, dialogues.length - 1))?.firstElementChild.focus();
    this.title.hidden = !dialogues.length;
    const first = PAGE * (this.cursors.length - 1) + 1;
    const last = first + dialogues.length - 1;
    const total = !next ? last : Math.max(this.total, last + 1);
    this.where.textContent = `${first.toLocaleString("en")}–${last.toLocaleString("en")} of ${total.toLocaleString("en")}`;
    this.back.disabled = this.cursors.length === 1;
    this.forth.disabled = !next;
    this.pager.hidden = this.cursors.length === 1 && !next;
  }

  /** A row that is about to go. */
  fade(id) {
    const row = [...this.list.children].find((other) => other.dataset.id === id);
    row?.classList.add("row-going");
  }

  row({ id, turns, images, state, updated }) {
    const facts = [plural(turns, "turn"), images ? plural(images, "picture") : null].filter(Boolean).join(" · ");
    const when = new Date(updated);
    return make(
      "li.row",
      { data: { id } },
      make(
        "button.row-open",
        { type: "button", on: { click: () => this.open(id) } },
        make("bdi.row-id", {}, id),
        make("span.row-facts", {}, facts),
        STATES[state] ? make(`span.pill.pill-${state}`, {}, STATES[state]) : null,
        make("time.row-time", { datetime: updated, title: when.toLocaleString("en") }, when.toLocaleDateString("en", { dateStyle: "medium" })),
      ),
      make("button.row-delete", { type: "button", "aria-label": `Delete ${id}`, title: "Delete…", on: { click: () => this.remove(id) } }, icon("bin")),
    );
  }
}
