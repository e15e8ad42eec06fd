// A dialogue of one's own: typed, pasted or dropped. Nothing typed is lost, whatever is wrong with it.

import { byId, make, prose } from "./dom.js";
import { dataUrl } from "./files.js";
import { languageOf } from "./language.js";
import { readDialogue } from "./own_dialogue.js";

const DRAFT = "colloquy.draft";
const EXAMPLE = `Ana: I finally tried the bakery by the harbour.
Ben: And? Worth the detour?
Ana: The walnut bread was still warm. Four euros.
Ben: Did you ask about the birthday cake?
Ana: Yes, three days ahead, and they write the name on it.`;

export class Editor {
  /** @param {{show: (subject: object) => void}} actions */
  constructor({ show }) {
    this.show = show;
    this.form = byId("editor");
    this.text = byId("editor-text");
    this.faults = byId("editor-faults");
    this.pictures = [];
    this.text.placeholder = EXAMPLE;
    this.restore();
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.read();
    });
    this.text.addEventListener("input", () => this.keep());
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    this.text.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.takeFiles(event.clipboardData.files);
    });
    const chooser = byId("editor-file");
    byId("editor-picture").addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", async () => {
      await this.takeFiles(chooser.files);
      chooser.value = "";
    });
  }

  focus() {
    this.text.focus();
  }

  read() {
    const text = this.text.value || (this.text.value = EXAMPLE);
    const read = readDialogue(text, this.pictures);
    this.faults.replaceChildren(...(read.faults ?? []).map((fault) => this.fault(fault)));
    if (read.faults) return;
    const sample = read.dialogue.utterances.slice(0, 8).map((turn) => JSON.stringify(turn.content)).join(" ");
    this.show({
      title: read.title ?? "A dialogue of your own",
      language: languageOf(sample) ?? "en",
      dialogue: read.dialogue,
      query: read.query ?? "",
      queries: [],
      own: true,
    });
  }

  fault({ place, why, offset }) {
    const go = () => {
      const end = this.text.value.indexOf("\n", offset);
      this.text.focus();
      this.text.setSelectionRange(offset, end < 0 ? this.text.value.length : end);
      const line = this.text.value.slice(0, offset).split("\n").length;
      this.text.scrollTop = Math.max(0, (line - 4) * Number.parseFloat(getComputedStyle(this.text).lineHeight));
    };
    const where = offset === null ? place : make("button.link", { type: "button", on: { click: go } }, place);
    return make("p.fault", {}, where || null, make("span", {}, ...prose(why)));
  }

  /** Opens a text or JSON file; puts a picture where the cursor stands. */
  async takeFiles(files) {
    for (const file of files) {
      if (file.type.startsWith("image/")) this.insert(this.reference(await dataUrl(file)));
      else this.replace(await file.text());
    }
    this.keep();
  }

  reference(url) {
    const start = this.text.value.trimStart()[0];
    if (start === "{" || start === "[") return JSON.stringify({ type: "image_url", image_url: { url } });
    return `[picture ${this.pictures.push(url)}]`;
  }

  /** Through the browser's own editing, so that Ctrl+Z brings back what was there. */
  insert(text) {
    this.text.focus();
    if (!document.execCommand("insertText", false, text)) {
      this.text.setRangeText(text, this.text.selectionStart, this.text.selectionEnd, "end");
    }
  }

  replace(text) {
    this.text.focus();
    this.text.select();
    this.insert(text);
    this.text.setSelectionRange(0, 0);
    this.text.scrollTop = 0;
  }

  keep() {
    try {
      sessionStorage.setItem(DRAFT, JSON.stringify({ text: this.text.value, pictures: this.pictures }));
    } catch {
      // Too much to keep for a reload; the field itself still holds it.
    }
  }

  restore() {
    try {
      const draft = JSON.parse(sessionStorage.getItem(DRAFT) ?? "{}");
      this.text.value = draft.text ?? "";
      this.pictures = draft.pictures ?? [];
    } catch {
      this.pictures = [];
    }
  }
}
