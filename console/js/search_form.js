// What is asked of a collection: words, a picture, and where to look.

import { byId, icon, make } from "./dom.js";
import { dataUrl, isPicture } from "./files.js";
import { TokenField } from "./token_field.js";

export class SearchForm {
  /** @param {{submit: () => void, cancel: () => void}} actions */
  constructor({ submit, cancel }) {
    this.busy = false;
    this.picture = null;
    this.field = byId("search-query");
    this.button = byId("search-button");
    const changed = () => this.count();
    this.speakers = new TokenField(byId("filter-speaker"), { changed });
    this.dialogues = new TokenField(byId("filter-dialogue"), { changed });
    this.metadata = new TokenField(byId("filter-metadata"), { changed, check: checkPair });
    this.after = byId("filter-after");
    this.before = byId("filter-before");
    for (const field of [this.after, this.before]) field.addEventListener("input", changed);
    this.toggle = byId("filter-toggle");
    this.toggle.addEventListener("click", () => this.unfold(byId("filters").hidden));
    byId("filter-clear").addEventListener("click", () => this.clearFilters());
    byId("search-ask").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.commit()) submit();
    });
    this.button.addEventListener("click", (event) => {
      if (!this.busy) return;
      event.preventDefault();
      cancel();
    });
    this.listenToPictures();
  }

  listenToPictures() {
    const chooser = byId("search-file");
    byId("search-picture").addEventListener("click", () => chooser.click());
    chooser.addEventListener("change", async () => {
      await this.takeFiles([...chooser.files]);
      chooser.value = "";
    });
    this.field.addEventListener("paste", (event) => {
      const files = [...event.clipboardData.files];
      if (!files.some(isPicture)) return;
      event.preventDefault();
      this.takeFiles(files);
    });
  }

  /** The first picture among files becomes part of the query. */
  async takeFiles(files) {
    const file = files.find(isPicture);
    if (file) this.usePicture(await dataUrl(file), file.name);
  }

  usePicture(url, name = "") {
    this.picture = url;
    const label = name || "Picture";
    const remove = make("button.token-remove", { type: "button", "aria-label": "Search without the picture" }, icon("close"));
    remove.addEventListener("click", () => this.dropPicture());
    const image = make("img.query-thumb", { src: url, alt: "" });
    byId("query-picture").replaceChildren(image, make("bdi.query-name", {}, label), remove);
    byId("query-picture").hidden = false;
    this.field.focus();
  }

  dropPicture() {
    this.picture = null;
    byId("query-picture").hidden = true;
    byId("query-picture").replaceChildren();
    this.field.focus();
  }

  /** Takes what stands half typed in a filter; false, and shown, when it is no filter. */
  commit() {
    const good = [this.speakers, this.dialogues, this.metadata].every((field) => field.commit());
    if (!good) this.unfold(true);
    return good;
  }

  /** The request, without the collection; null when nothing is asked. */
  read() {
    const query = this.field.value.trim();
    if (!query && !this.picture) return null;
    const filter = this.filter();
    const rerank = byId("search-rerank").value; // left out, the gateway takes the best it has
    return {
      ...(query ? { query } : {}),
      ...(this.picture ? { query_image: { url: this.picture } } : {}),
      ...(filter ? { filter } : {}),
      top_k: Number(byId("search-top").value),
      ...(rerank ? { rerank } : {}),
      refine: byId("search-refine").checked,
    };
  }

  filter() {
    const filter = {};
    if (this.dialogues.values.length) filter.dialogue_id = this.dialogues.values;
    if (this.speakers.values.length) filter.speaker = this.speakers.values;
    if (this.after.value) filter.after = new Date(this.after.value).toISOString();
    if (this.before.value) filter.before = new Date(this.before.value).toISOString();
    if (this.metadata.values.length) filter.metadata = pairsOf(this.metadata.values);
    return Object.keys(filter).length ? filter : null;
  }

  count() {
    const { speakers, dialogues, metadata, after, before } = this;
    const count = [speakers, dialogues, metadata].filter(({ values }) => values.length).length + [after, before].filter(({ value }) => value).length;
    byId("filter-count").textContent = count ? String(count) : "";
    byId("filter-count").hidden = !count;
    byId("filter-clear").disabled = !count;
  }

  clearFilters() {
    for (const field of [this.speakers, this.dialogues, this.metadata]) {
      field.input.value = "";
      field.set([]);
    }
    this.after.value = this.before.value = "";
    this.count();
  }

  unfold(open) {
    byId("filters").hidden = !open;
    this.toggle.setAttribute("aria-expanded", String(open));
  }

  /** On a phone the filters step aside for what was found. */
  stepAside() {
    if (matchMedia("(max-width: 760px)").matches) this.unfold(false);
  }

  setBusy(busy) {
    this.busy = busy;
    this.button.textContent = busy ? "Cancel" : "Search";
    this.button.classList.toggle("button-main", !busy);
  }
}

function checkPair(text) {
  return /^[^=]+=./s.test(text) ? null : "Write it as key=value.";
}

/** `shop=kites` as the API's filter. `7` is looked for as a number and as a text, as either may be kept. */
function pairsOf(texts) {
  const pairs = new Map();
  for (const text of texts) {
    const at = text.indexOf("=");
    const key = text.slice(0, at).trim();
    const value = text.slice(at + 1).trim();
    pairs.set(key, [...(pairs.get(key) ?? []), ...readings(value)]);
  }
  return Object.fromEntries(pairs);
}

function readings(value) {
  if (value === "true" || value === "false") return [value, value === "true"];
  return /^-?(0|[1-9]\d{0,14})(\.\d+)?$/.test(value) ? [value, Number(value)] : [value];
}
