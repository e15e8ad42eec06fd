// A stored dialogue, whole: read in place of what led to it, with a way back.

import { Conversation, picturesOf, textOf } from "./conversation.js";
import { icon, make, plural } from "./dom.js";
import { languageOf } from "./language.js";
import { problemCard } from "./panel.js";
import { asProblem } from "./run.js";
import { Strip } from "./strip.js";

export class Reader {
  /**
   * @param {HTMLElement} pane what it stands in; everything else in there is hidden meanwhile
   * @param {{back: string, closed: () => void}} options `back` names where one goes back to
   */
  constructor(pane, { api, pictures, lightbox }, { back, closed }) {
    Object.assign(this, { pane, api, lightbox, closed });
    this.controller = null;
    this.stored = null;
    const turns = make("ol.turns");
    this.title = make("h2.heading-title.reader-title", { tabindex: "-1" });
    this.facts = make("p.heading-facts");
    this.actions = make("div.reader-actions");
    this.notice = make("div.reader-notice");
    const heading = make("div.heading", {}, this.title, this.facts);
    const scroller = make("div.scroller", { role: "region", tabindex: "0", "aria-label": "Conversation" }, heading, this.notice, turns);
    const strip = make("div.strip", { "aria-hidden": "true" });
    this.root = make(
      "section.reader",
      { "aria-label": "Dialogue", hidden: true },
      make(
        "div.reader-bar",
        {},
        make("button.button.button-quiet.reader-back", { type: "button", on: { click: () => this.close() } }, icon("left"), back),
        this.actions,
      ),
      make("div.stage", {}, scroller, strip),
    );
    pane.append(this.root);
    this.conversation = new Conversation(
      turns,
      scroller,
      {
        load: (reference) => pictures.load(reference),
        open: (imageId) => this.lightbox.openFrom(this.conversation, this.stored.dialogue, imageId),
      },
      `${pane.id}-turn-`,
    );
    this.strip = new Strip(strip, (id) => this.conversation.jump(id));
    this.root.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
      event.stopPropagation();
      this.close();
    });
  }

  get isOpen() {
    return !this.root.hidden;
  }

  /**
   * Loads and shows a dialogue.
   * @returns {Promise<object|null>} the `StoredDialogue`, or null when it was closed or failed
   */
  async open(collection, id) {
    this.controller?.abort();
    const controller = (this.controller = new AbortController());
    this.reveal();
    this.title.textContent = id;
    this.facts.textContent = "Loading…";
    this.stored = null;
    this.actions.replaceChildren();
    this.notice.replaceChildren(make("div.skeleton.skeleton-turns", { "aria-hidden": "true" }));
    this.conversation.show({ utterances: [] });
    this.strip.clear();
    this.title.focus({ preventScroll: true });
    try {
      const stored = await this.api.dialogue(collection, id, controller.signal);
      if (controller.signal.aborted) return null;
      this.show(stored);
      return stored;
    } catch (error) {
      if (controller.signal.aborted) return null;
      this.facts.textContent = "";
      this.notice.replaceChildren(problemCard(asProblem(error), { retry: () => this.open(collection, id) }));
      return null;
    }
  }

  show(stored) {
    const { dialogue } = stored;
    const pictures = picturesOf(dialogue).length;
    const words = dialogue.utterances.slice(0, 8).map(textOf).join(" ");
    this.stored = stored;
    this.notice.replaceChildren();
    this.facts.textContent = [plural(dialogue.utterances.length, "turn"), pictures ? plural(pictures, "picture") : null]
      .filter(Boolean)
      .join(" · ");
    this.conversation.show(dialogue, languageOf(words) ?? "en");
  }

  /** Lights a fragment where it stands. */
  light(turnIds, imageIds, toReveal) {
    this.conversation.light(turnIds, imageIds);
    this.strip.show([{ ids: turnIds, look: "mark-lit" }], this.stored.dialogue.utterances.length);
    this.conversation.reveal(toReveal);
  }

  reveal() {
    if (this.isOpen) return;
    this.hiddenBefore = [...this.pane.children].map((child) => {
      const scrolled = child.scrollTop;
      const wasHidden = child.hidden;
      child.hidden = child !== this.root;
      return { child, scrolled, wasHidden };
    });
    this.focusBefore = document.activeElement;
  }

  /** @param {{quietly?: boolean}} options quietly when something else takes its place anyway */
  close({ quietly = false } = {}) {
    if (!this.isOpen) return;
    this.controller?.abort();
    for (const { child, scrolled, wasHidden } of this.hiddenBefore) {
      child.hidden = wasHidden;
      child.scrollTop = scrolled;
    }
    this.root.hidden = true;
    if (quietly) return;
    if (this.focusBefore?.isConnected) this.focusBefore.focus({ preventScroll: true });
    this.closed();
  }
}
