// *Collections*: what there is to search, and how it gets there and goes again.

import { collectionPath } from "./api.js";
import { announce, byId, icon, make } from "./dom.js";
import { CollectionForm } from "./collection_form.js";
import { CollectionView } from "./collection_view.js";
import { curlOfFile } from "./curl.js";
import { aboutProblem, callBox, problemCard, table } from "./panel.js";
import { asProblem } from "./run.js";
import { howToFill, indexCommand, skeletons, unlisted } from "./search_states.js";
import { NDJSON } from "./upload.js";

export class Collections {
  constructor(page) {
    Object.assign(this, { page, api: page.api, panel: page.panel, corpus: page.corpus, confirm: page.confirm });
    this.active = false;
    this.root = byId("collections-body");
    this.form = new CollectionForm({ create: (name, spec, files) => this.create(name, spec, files) });
    this.view = new CollectionView(byId("collections-pane"), page, {
      dropped: () => this.askDrop(),
      counted: (collection) => this.counted(collection),
      closed: () => this.sayAbout(this.corpus.collection),
    });
  }

  async enter() {
    this.active = true;
    if (!this.corpus.loaded) this.root.replaceChildren(skeletons());
    await this.corpus.load();
    if (this.active) this.corpusChanged();
  }

  leave() {
    this.active = false;
    this.view.leave();
  }

  corpusChanged() {
    const { corpus } = this;
    if (corpus.problem && !corpus.collections.length) this.showProblem(corpus.problem);
    else if (corpus.creating || !corpus.collection) this.showForm();
    else {
      this.view.show(corpus.collection, this.root);
      this.sayAbout(corpus.collection);
    }
  }

  /** Files that are dropped here go into the collection in front, or into the one being made. */
  takeFiles(files) {
    if (this.corpus.creating || !this.corpus.collection) this.form.takeFiles(files);
    else this.view.takeFiles(files);
  }

  showProblem(problem) {
    this.view.leave();
    this.root.replaceChildren(unlisted(problem, () => this.enter()));
    this.panel.say("failed", problem.title, make("p.lead", {}, "The collections cannot be listed."), aboutProblem(problem));
    announce(`Error: ${problem.title}. ${problem.detail}`);
  }

  showForm() {
    this.view.leave();
    this.root.replaceChildren(this.form.root);
    this.form.welcome(!this.corpus.collections.length);
    this.panel.say(
      "idle",
      "New collection",
      make("p.lead", {}, this.corpus.collections.length ? "A new collection." : "Nothing here yet."),
      ...howToFill(this.form.name || "family"),
    );
    this.panel.unfold(false);
    this.form.focus();
  }

  async create(name, spec, files) {
    try {
      await this.api.createCollection(name, spec);
      await this.corpus.refresh(name);
    } catch (error) {
      return this.form.failed(asProblem(error));
    }
    this.form.clear();
    this.corpus.choose(name);
    announce(`The collection ${name} is there.`);
    this.corpusChanged();
    if (files.length) this.view.takeFiles(files);
    this.view.focus();
    return null;
  }

  async askDrop() {
    const { name, dialogues } = this.corpus.collection;
    const sure = await this.confirm.ask({
      title: "Drop this collection?",
      words: ["Its dialogues, vectors, and pictures that nothing else uses go for good. ", make("b", {}, dialogues.toLocaleString("en")), " dialogues are in it."],
      yes: "Drop the collection",
      typed: name,
    });
    if (!sure) return;
    this.view.notice(make("p.working", { role: "status" }, make("span.spinner", { "aria-hidden": "true" }), "Dropping the collection…"));
    try {
      await this.api.dropCollection(name);
    } catch (error) {
      return this.view.notice(problemCard(asProblem(error), { retry: () => this.askDrop() }));
    }
    this.view.leave();
    this.corpus.forget(name);
    announce(`The collection ${name} is dropped.`);
    if (!this.active) return null;
    this.corpusChanged();
    byId("collections").querySelector("[aria-current], .rail-new").focus();
    return null;
  }

  /** Counts change often and stand elsewhere: what is open in the panel stays open meanwhile. */
  counted(collection) {
    if (aboutOf(collection) !== this.said) this.sayAbout(collection);
  }

  sayAbout(collection) {
    if (!this.active || this.view.isReading) return;
    this.said = aboutOf(collection);
    const { name, spaces, retention_days: days, created } = collection;
    const old = spaces.filter(({ current }) => !current);
    const path = `${collectionPath(name)}/dialogues`;
    const call = curlOfFile(path, NDJSON, "dialogues.ndjson");
    this.panel.say(
      "idle",
      name,
      make("p.lead", {}, make("bdi", {}, name)),
      make("p.hint", {}, "What is accepted is on disk, and is searchable once it is indexed."),
      ...(collection.dialogues ? [] : indexCommand(name)),
      table("Spaces", spaces.map((space) => [space.name, make("code", {}, space.dimensions ? `${space.revision} · ${space.dimensions}-d` : space.revision)])),
      old.length ? olderNote(old) : null,
      table("About it", [
        ["made", new Date(created).toLocaleDateString("en", { dateStyle: "medium" })],
        ["kept", days ? `${days.toLocaleString("en")} days unchanged` : "until deleted"],
      ]),
      callBox(() => call, () => call),
    );
  }
}

function olderNote(spaces) {
  const names = spaces.map(({ name }) => name).join(", ");
  const words = make("span", {}, `Indexed by an older model: ${names}. `, make("code", {}, "colloquy reindex"), " renews it.");
  return make("p.note", {}, icon("clock"), words);
}

function aboutOf({ name, spaces, retention_days: days, created }) {
  return JSON.stringify([name, spaces, days, created]);
}
