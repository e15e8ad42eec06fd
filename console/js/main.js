// Wires the page: to read this file is to read what the page consists of.

import { Api } from "./api.js";
import { Collections } from "./collections.js";
import { Confirm } from "./confirm.js";
import { Conversation, picturesOf } from "./conversation.js";
import { Corpus } from "./corpus.js";
import { announce, byId, icon, make, plural } from "./dom.js";
import { watchDrops } from "./drops.js";
import { Editor } from "./editor.js";
import { Find } from "./find.js";
import { KeyDialog } from "./key_dialog.js";
import { takeTokenFromAddress } from "./keys.js";
import { fullTag, languageName } from "./language.js";
import { Lightbox } from "./lightbox.js";
import { Panel } from "./panel.js";
import { Pictures } from "./pictures.js";
import { Search } from "./search.js";
import { Status } from "./status.js";
import { Strip } from "./strip.js";
import { Topics } from "./topics.js";

class Page {
  constructor() {
    const keys = new KeyDialog();
    this.api = new Api(() => keys.ask());
    this.lightbox = new Lightbox();
    this.panel = new Panel();
    this.confirm = new Confirm();
    this.pictures = new Pictures(this.api);
    this.conversation = new Conversation(byId("turns"), byId("scroller"), {
      load: (reference) => this.pictures.load(reference),
      open: (imageId) => this.lightbox.openFrom(this.conversation, this.subject.dialogue, imageId),
    });
    this.strip = new Strip(byId("strip"), (id) => this.conversation.jump(id));
    this.corpus = new Corpus(this.api, { chosen: (name) => this.chooseCollection(name), creating: () => this.createCollection() });
    this.overOne = { find: new Find(this), topics: new Topics(this) };
    this.overMany = { search: new Search(this), collections: new Collections(this) };
    this.tabs = { ...this.overOne, ...this.overMany };
    this.tab = this.tabs.find;
    this.subject = null;
    this.editor = new Editor({ show: (subject) => this.take(subject) });
    watchDrops((files) => this.takeFiles(files));
    byId("edit").addEventListener("click", () => this.edit());
    this.listenToTabs();
    this.listenToKeys();
  }

  async start() {
    new Status().poll();
    this.tab.enter();
    try {
      const samples = await this.api.get("samples/dialogues.json");
      this.offer(samples.map(({ title, language, dialogue, queries }) => {
        return { title, language: fullTag(language), dialogue, queries, query: "", own: false };
      }));
    } catch (problem) {
      this.offer([]);
      announce(`The samples cannot be read: ${problem.message}`);
    }
  }

  /** Lists the samples, and a dialogue of one's own after them. */
  offer(samples) {
    const own = make("button.rail-item.rail-own", { type: "button", on: { click: () => this.openOwn() } }, icon("plus"), "Your own");
    const items = samples.map((sample) => this.railItem(sample));
    byId("dialogues").replaceChildren(...[...items, own].map((item) => make("li", {}, item)));
    if (samples.length) this.take(samples[0]);
    else this.edit();
  }

  railItem(sample) {
    const item = make(
      "button.rail-item",
      { type: "button", on: { click: () => this.take(sample) } },
      make("span.rail-name", { lang: sample.language }, sample.title),
      make("span.rail-facts", {}, `${languageName(sample.language)} · ${factsOf(sample.dialogue)}`),
    );
    sample.item = item;
    return item;
  }

  take(subject) {
    this.subject = subject;
    if (subject.own) this.own = subject;
    byId("editor").hidden = true;
    byId("stage").hidden = byId("ask").hidden = false;
    byId("shell").classList.remove("editing");
    byId("title").textContent = subject.title;
    byId("title").lang = subject.language;
    byId("facts").textContent = factsOf(subject.dialogue);
    byId("edit").hidden = !subject.own;
    this.mark(subject.item ?? document.querySelector(".rail-own"));
    if (this.isOverOne) this.tab.leave();
    this.conversation.show(subject.dialogue, subject.language);
    for (const tab of Object.values(this.overOne)) tab.take(subject);
    if (this.isOverOne) this.tab.enter();
  }

  get isOverOne() {
    return Object.values(this.overOne).includes(this.tab);
  }

  /** What is dropped belongs to what is in front. */
  takeFiles(files) {
    if (!this.isOverOne) return this.tab.takeFiles(files);
    this.edit();
    return this.editor.takeFiles(files);
  }

  openOwn() {
    if (this.own && this.subject !== this.own) this.take(this.own);
    else this.edit();
  }

  edit() {
    for (const tab of Object.values(this.overOne)) tab.run.cancel({ quietly: true });
    byId("editor").hidden = false;
    byId("stage").hidden = byId("ask").hidden = true;
    byId("shell").classList.add("editing");
    this.mark(document.querySelector(".rail-own"));
    if (!this.isOverOne) return; // no samples: somebody was quicker at another tab
    this.sayEditing();
    this.editor.focus();
  }

  sayEditing() {
    this.panel.idle("Any conversation will do.", "Paste a chat, or write a few lines. Then ask about it, or let it be split into topics.");
  }

  chooseCollection(name) {
    this.corpus.choose(name);
    this.tabs.search.reader.close({ quietly: true });
    this.tab.corpusChanged();
  }

  /** Files for the collection that is chosen, or for a new one where there is none. */
  async ingest(files) {
    await this.choose("collections");
    this.tabs.collections.takeFiles(files);
  }

  createCollection() {
    this.corpus.creating = true;
    this.corpus.show();
    if (this.tab === this.tabs.collections) this.tab.corpusChanged();
    else this.choose("collections");
  }

  mark(chosen) {
    for (const item of byId("dialogues").querySelectorAll(".rail-item")) {
      if (item === chosen) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
    chosen?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  listenToTabs() {
    const names = Object.keys(this.tabs);
    for (const name of names) {
      byId(`tab-${name}`).addEventListener("click", () => this.choose(name));
      byId(`tab-${name}`).addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
        if (!step) return;
        const next = names[(names.indexOf(name) + step + names.length) % names.length];
        this.choose(next);
        byId(`tab-${next}`).focus();
      });
    }
  }

  /** Brings a tab to the front; what it reads for that may take a moment. */
  async choose(name) {
    for (const other of Object.keys(this.tabs)) {
      byId(`tab-${other}`).setAttribute("aria-selected", String(other === name));
      byId(`tab-${other}`).tabIndex = other === name ? 0 : -1;
    }
    this.tab.leave();
    this.tab = this.tabs[name];
    this.front(name);
    if (!this.isOverOne) await this.tab.enter();
    else if (!byId("editor").hidden) this.sayEditing();
    else if (this.subject) this.tab.enter();
  }

  /** Brings the pane of a tab to the front, and what it chooses from to the side. */
  front(name) {
    const { isOverOne } = this;
    byId("work").hidden = byId("dialogues").hidden = !isOverOne;
    byId("collections").hidden = isOverOne;
    byId("rail-title").textContent = isOverOne ? "Dialogues" : "Collections";
    byId("shell").classList.toggle("editing", isOverOne && !byId("editor").hidden);
    for (const other of Object.keys(this.overMany)) byId(`${other}-pane`).hidden = other !== name;
    if (!isOverOne) return;
    byId("work").setAttribute("aria-labelledby", `tab-${name}`);
    byId("find-form").hidden = byId("chips").hidden = name !== "find";
    byId("topics-bar").hidden = name !== "topics";
  }

  /** `/` goes to the query that is in front, Escape cancels. */
  listenToKeys() {
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input, textarea, select");
      if (document.querySelector("dialog[open]")) return;
      if (event.key === "/" && !typing) {
        const field = this.tab === this.tabs.search ? byId("search-query") : byId("query");
        if (!field.checkVisibility()) return;
        event.preventDefault();
        field.focus();
      }
      if (event.key === "Escape") this.tab.run?.cancel();
    });
  }
}

function factsOf(dialogue) {
  const pictures = picturesOf(dialogue).length;
  const turns = plural(dialogue.utterances.length, "turn");
  return pictures ? `${turns} · ${plural(pictures, "picture")}` : turns;
}

takeTokenFromAddress();
addEventListener("hashchange", takeTokenFromAddress);
new Page().start();
