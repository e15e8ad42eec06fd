// A new collection: a name, how long it keeps what nobody changes, and perhaps a first file.

import { icon, make } from "./dom.js";
import { sizeOf } from "./files.js";
import { problemCard } from "./panel.js";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const RULE = "Letters, digits, dots, dashes and underscores; the first a letter or digit; at most 128.";

export class CollectionForm {
  /** @param {{create: (name: string, spec: object, files: File[]) => Promise<void>}} actions */
  constructor({ create }) {
    this.create = create;
    this.files = [];
    this.build();
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.field.addEventListener("input", () => this.complain(""));
  }

  build() {
    this.title = make("h2.heading-title");
    this.words = make("p.hint");
    this.field = make("input.field", { id: "new-name", type: "text", autocomplete: "off", spellcheck: "false", maxlength: "128", placeholder: "family", "aria-describedby": "new-name-rule" });
    this.rule = make("p.field-hint", { id: "new-name-rule" }, RULE);
    this.days = make("input.field.field-short", { id: "new-days", type: "number", min: "1", max: "36500", step: "1", inputmode: "numeric", placeholder: "for ever" });
    this.waiting = make("ul.waiting-files");
    this.notice = make("div", { role: "alert" });
    this.button = make("button.button.button-main", { type: "submit" }, "Create");
    this.root = make(
      "form.sheet-form",
      { id: "new-collection", novalidate: true, autocomplete: "off" },
      this.title,
      this.words,
      make("div.field-row", {}, make("label.field-label", { for: "new-name" }, "Name"), this.field, this.rule),
      make("div.field-row", {}, make("label.field-label", { for: "new-days" }, "Keep unchanged dialogues, in days"), this.days),
      this.waiting,
      this.notice,
      make("div.sheet-buttons", {}, this.button),
    );
  }

  get name() {
    return this.field.value.trim();
  }

  welcome(first) {
    this.title.textContent = first ? "The first collection" : "A new collection";
    this.words.textContent = first
      ? "A collection holds dialogues that are searched together. Name one here, then drop a file in; or drop a file right away."
      : "A collection holds dialogues that are searched together.";
  }

  focus() {
    this.field.focus();
  }

  /** Keeps files for when the collection is there; names it after the first one. */
  takeFiles(files) {
    this.files = [...this.files, ...files];
    if (!this.field.value) this.field.value = nameFrom(files[0].name);
    this.showFiles();
    this.field.focus();
  }

  showFiles() {
    this.waiting.replaceChildren(...this.files.map((file) => this.fileLine(file)));
    this.button.textContent = this.files.length ? "Create and take in" : "Create";
  }

  fileLine(file) {
    const remove = () => {
      this.files = this.files.filter((other) => other !== file);
      this.showFiles();
    };
    return make(
      "li.token",
      {},
      make("bdi", {}, file.name),
      make("span.soft", {}, sizeOf(file.size)),
      make("button.token-remove", { type: "button", "aria-label": `Leave out ${file.name}`, on: { click: remove } }, icon("close")),
    );
  }

  async submit() {
    const days = this.days.value.trim();
    if (!NAME.test(this.name)) return this.complain(this.name ? RULE : "A collection needs a name.", this.field);
    if (this.days.validity.badInput || (days && !/^[1-9]\d{0,4}$/.test(days))) {
      return this.complain("Days are a whole number from 1 on.", this.days);
    }
    this.button.disabled = true;
    this.notice.replaceChildren();
    await this.create(this.name, { kind: "dialogues", ...(days ? { retention_days: Number(days) } : {}) }, this.files);
    this.button.disabled = false;
  }

  complain(why, field = this.field) {
    this.notice.replaceChildren(...(why ? [make("p.field-fault", {}, why)] : []));
    this.field.toggleAttribute("aria-invalid", Boolean(why) && field === this.field);
    if (why) field.focus();
  }

  failed(problem) {
    this.notice.replaceChildren(problemCard(problem));
  }

  clear() {
    this.field.value = this.days.value = "";
    this.files = [];
    this.showFiles();
    this.complain("");
  }
}

/** `Family chats (2).ndjson` → `Family-chats-2`. */
function nameFrom(file) {
  return file
    .replace(/\.(ndjson|jsonl|json)$/i, "")
    .replace(/[^A-Za-z0-9._-]+/g, "-")
    .replace(/^[^A-Za-z0-9]+|-+$/g, "")
    .slice(0, 128);
}
