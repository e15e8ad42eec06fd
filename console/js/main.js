// Wires the page: to read this file is to read what the page consists of.

import { Api } from "./api.js";
import { Conversation, picturesOf } from "./conversation.js";
import { announce, byId, icon, make, plural } from "./dom.js";
import { Editor } from "./editor.js";
import { Find } from "./find.js";
import { KeyDialog } from "./key_dialog.js";
import { takeTokenFromAddress } from "./keys.js";
import { fullTag, languageName } from "./language.js";
import { Lightbox } from "./lightbox.js";
import { Panel } from "./panel.js";
import { Status } from "./status.js";
import { Strip } from "./strip.js";
import { Topics } from "./topics.js";

class Page {
  constructor() {
    const keys = new KeyDialog();
    this.api = new Api(() => keys.ask());
    this.lightbox = new Lightbox();
    this.panel = new Panel();
    this.conversation = new Conversation(byId("turns"), byId("scroller"), {
      load: (reference) => this.api.picture(reference),
      open: (imageId) => this.openPicture(imageId),
    });
    this.strip = new Strip(byId("strip"), (id) => this.conversation.jump(id));
    this.tabs = { find: new Find(this), topics: new Topics(this) };
    this.tab = this.tabs.find;
    this.subject = null;
    this.editor = new Editor({ show: (subject) => this.take(subject), open: () => this.edit() });
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
    this.tab.leave();
    this.conversation.show(subject.dialogue, subject.language);
    for (const tab of Object.values(this.tabs)) tab.take(subject);
    this.tab.enter();
  }

  openOwn() {
    if (this.own && this.subject !== this.own) this.take(this.own);
    else this.edit();
  }

  edit() {
    for (const tab of Object.values(this.tabs)) tab.run.cancel({ quietly: true });
    byId("editor").hidden = false;
    byId("stage").hidden = byId("ask").hidden = true;
    byId("shell").classList.add("editing");
    this.panel.idle("Any conversation will do.", "Paste a chat, or write a few lines. Then ask about it, or let it be split into topics.");
    this.mark(document.querySelector(".rail-own"));
    this.editor.focus();
  }

  mark(chosen) {
    for (const item of document.querySelectorAll(".rail-item")) {
      if (item === chosen) item.setAttribute("aria-current", "true");
      else item.removeAttribute("aria-current");
    }
    chosen?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  openPicture(imageId) {
    const urls = this.conversation.urls;
    const shown = picturesOf(this.subject.dialogue)
      .map(({ turnId, speaker }, id) => ({ id, url: urls[id], caption: `Picture ${id} · turn ${turnId} · ${speaker}` }))
      .filter(({ url }) => url);
    this.lightbox.open(shown, shown.findIndex(({ id }) => id === imageId));
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

  choose(name) {
    for (const other of Object.keys(this.tabs)) {
      byId(`tab-${other}`).setAttribute("aria-selected", String(other === name));
      byId(`tab-${other}`).tabIndex = other === name ? 0 : -1;
    }
    byId("work").setAttribute("aria-labelledby", `tab-${name}`);
    byId("find-form").hidden = byId("chips").hidden = name !== "find";
    byId("topics-bar").hidden = name !== "topics";
    this.tab.leave();
    this.tab = this.tabs[name];
    if (this.subject && byId("editor").hidden) this.tab.enter();
  }

  /** `/` goes to the query, Escape cancels. */
  listenToKeys() {
    document.addEventListener("keydown", (event) => {
      const typing = event.target.matches("input, textarea");
      if (event.key === "/" && !typing && !byId("ask").hidden && !document.querySelector("dialog[open]")) {
        event.preventDefault();
        byId("query").focus();
      }
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) this.tab.run.cancel();
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
