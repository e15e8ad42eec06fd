// *Search*: a query over a whole collection, its fragments as cards, each in its dialogue.

import { dialoguePath } from "./api.js";
import { announce, byId, duration, make, plural } from "./dom.js";
import { curlOf, curlOfGet, curlPreview } from "./curl.js";
import { isPicture } from "./files.js";
import { foundIn, hitList } from "./hits.js";
import { languageOf } from "./language.js";
import { aboutAnswer, aboutProblem, callBox, countOf, problemCard, table } from "./panel.js";
import { Reader } from "./reader.js";
import { degradedNote, resultCards } from "./results.js";
import { Run } from "./run.js";
import { legend, meters, rankingOf } from "./scores.js";
import { emptyCorpus, howToFill, nothingFound, skeletons, startHere, unlisted } from "./search_states.js";
import { SearchForm } from "./search_form.js";

const PATH = "v1/fragments/search";

export class Search {
  constructor(page) {
    const { api, panel, corpus, pictures, lightbox } = page;
    Object.assign(this, { page, api, panel, corpus, pictures, lightbox });
    this.active = false;
    this.state = { kind: "idle" };
    this.request = null;
    this.results = byId("results");
    this.run = new Run((state) => this.become(state));
    this.form = new SearchForm({ submit: () => this.search(), cancel: () => this.run.cancel() });
    this.reader = new Reader(byId("search-pane"), page, { back: "Results", closed: () => this.back() });
  }

  async enter() {
    this.active = true;
    if (!this.corpus.loaded) this.showLoading();
    await this.corpus.load();
    if (this.active) this.corpusChanged();
  }

  leave() {
    this.active = false;
    this.scrolled = this.results.scrollTop; // hidden, it would be forgotten
  }

  /** What was found belongs to the collection it was found in. */
  corpusChanged() {
    if (this.corpus.name !== this.collection) {
      this.run.cancel({ quietly: true });
      this.reader.close({ quietly: true });
      this.collection = this.corpus.name;
      this.state = { kind: "idle" };
      this.request = this.shown = null;
    }
    if (this.reader.isOpen) this.sayDialogue();
    else this.back();
  }

  /** A picture is searched by; anything else is meant for a collection. */
  takeFiles(files) {
    if (!files.some(isPicture)) return this.page.ingest(files);
    if (this.reader.isOpen) this.reader.close();
    return this.form.takeFiles(files);
  }

  search() {
    const asked = this.form.read();
    if (!asked || !this.corpus.name) return this.form.field.focus();
    this.request = { ...asked, collection: this.corpus.name };
    const { request } = this;
    this.form.stepAside();
    return this.run.start((signal) => this.api.searchCollection(request, signal));
  }

  become(state) {
    const before = this.state.kind;
    this.state = state;
    if (!this.active || this.reader.isOpen) return;
    if (state.kind === "running" && before === "running") this.panel.running(this.runningWords, state.elapsedMs);
    else this.show();
  }

  get runningWords() {
    return `Searching ${this.request.collection}…`;
  }

  showLoading() {
    this.results.replaceChildren(skeletons());
    this.panel.idle("Search a whole collection.");
  }

  show() {
    const { state, panel } = this;
    const busy = state.kind === "running" || state.kind === "waiting";
    this.form.setBusy(busy);
    byId("search-ask").hidden = !this.corpus.collections.length;
    byId("search-progress").hidden = state.kind !== "running";
    this.results.classList.toggle("results-old", busy);
    if (!this.corpus.collections.length) this.showNoCorpus();
    else if (state.kind === "running") {
      if (!this.results.querySelector(".result")) this.results.replaceChildren(skeletons());
      panel.running(this.runningWords, state.elapsedMs);
    } else if (state.kind === "waiting") {
      panel.waiting(state.problem, state.secondsLeft, { hurry: () => this.run.hurry(), cancel: () => this.run.cancel() });
    } else if (state.kind === "failed") {
      this.results.replaceChildren(problemCard(state.problem, { retry: () => this.search() }));
      panel.say("failed", state.problem.title, make("p.lead", {}, "No answer."), aboutProblem(state.problem), this.call());
      panel.unfold(false);
      announce(`Error: ${state.problem.title}. ${state.problem.detail}`);
    } else if (state.kind === "done") this.showAnswer(state.answer, state.tookMs);
    else {
      this.results.replaceChildren(startHere(this.corpus.collection));
      if (state.kind === "cancelled") panel.idle("Cancelled.", "Nothing was lost; Search asks again.");
      else panel.idle("Search a whole collection.", "Words, a picture, or both. Every fragment comes with its scores and leads to its dialogue.");
    }
  }

  showNoCorpus() {
    const { problem } = this.corpus;
    if (problem) {
      this.results.replaceChildren(unlisted(problem, () => this.enter()));
      this.panel.say("failed", problem.title, make("p.lead", {}, "The collections cannot be listed."), aboutProblem(problem));
      announce(`Error: ${problem.title}. ${problem.detail}`);
    } else {
      this.results.replaceChildren(emptyCorpus(() => this.page.createCollection()));
      this.panel.say("idle", "Nothing to search yet.", make("p.lead", {}, "Nothing to search yet."), ...howToFill("family"));
      this.panel.unfold(false);
    }
  }

  /** From a dialogue: the cards stand as they were left, if they are still those of the answer. */
  back() {
    const { answer, tookMs } = this.state;
    if (!answer || answer !== this.shown) return this.show();
    this.sayAnswer(answer, tookMs);
    if (this.scrolled) this.results.scrollTop = this.scrolled;
    this.scrolled = 0;
    return null;
  }

  showAnswer(answer, tookMs) {
    const { fragments } = answer;
    const rerank = rankingOf(answer, this.request.rerank);
    const note = degradedNote(answer.degraded ?? []);
    const tools = { pictures: this.pictures, lightbox: this.lightbox, open: (fragment) => this.openDialogue(fragment) };
    const body = fragments.length ? resultCards(answer, rerank, tools) : this.nothing();
    this.results.replaceChildren(...[note, body].filter(Boolean));
    this.results.scrollTop = 0;
    this.shown = answer;
    announce(`${this.sayAnswer(answer, tookMs)}.`);
  }

  sayAnswer(answer, tookMs) {
    const { fragments } = answer;
    const took = duration(answer.timings_ms?.total ?? tookMs);
    const dialogues = new Set(fragments.map((fragment) => fragment.dialogue_id)).size;
    const count = fragments.length ? `${plural(fragments.length, "fragment")} in ${plural(dialogues, "dialogue")}` : "Nothing found";
    this.panel.say(
      fragments.length ? "found" : "nothing",
      `${count} · ${took}`,
      make("p.lead", {}, count),
      this.echo(took),
      fragments.length ? legend(rankingOf(answer, this.request.rerank)) : null,
      ...aboutAnswer(answer, tookMs),
      this.call(),
    );
    this.panel.unfold(false);
    return count;
  }

  nothing() {
    const { filter, refine } = this.request;
    return nothingFound(this.corpus.collection, {
      unfiltered: filter ? () => this.again(() => this.form.clearFilters()) : null,
      unrefined: refine ? () => this.again(() => (byId("search-refine").checked = false)) : null,
    });
  }

  again(change) {
    change();
    this.search();
  }

  echo(took) {
    const { query, query_image: image, collection } = this.request;
    const asked = query ? make("q", { lang: languageOf(query) }, query) : "a picture";
    return make("p.echo", {}, "for ", asked, query && image ? " and a picture" : null, " in ", make("bdi", {}, collection), `, ${took}`);
  }

  call() {
    const { request } = this;
    return callBox(() => curlPreview(PATH, request), () => curlOf(PATH, request));
  }

  /** The whole dialogue, with the fragment lit where it stands. */
  async openDialogue(fragment) {
    this.fragment = fragment;
    this.panel.idle("The whole dialogue.");
    const stored = await this.reader.open(this.request.collection, fragment.dialogue_id);
    if (!stored) return;
    const { turnIds, imageIds, toReveal } = foundIn([fragment], stored.dialogue);
    this.reader.light(turnIds, imageIds, toReveal);
    if (this.active) announce(`Dialogue ${fragment.dialogue_id}, ${this.sayDialogue()} lit.`);
  }

  sayDialogue() {
    const { fragment } = this;
    const { stored } = this.reader;
    if (!stored) return this.panel.idle("The whole dialogue.");
    const { collection } = this.request;
    const rerank = rankingOf(this.state.answer, this.request.rerank);
    const { turnIds, imageIds, hits } = foundIn([fragment], stored.dialogue);
    const jump = (id) => {
      this.panel.unfold(false);
      this.reader.conversation.jump(id);
    };
    const count = countOf(turnIds.length, imageIds.length);
    const path = dialoguePath(collection, fragment.dialogue_id);
    const metadata = Object.entries(stored.dialogue.metadata ?? {});
    this.panel.say(
      "found",
      count,
      make("p.lead", {}, count),
      hitList(hits, this.pictures, jump),
      meters(fragment.scores, rerank, fragment.scores.final ?? 0),
      metadata.length ? table("Metadata", metadata.map(([name, value]) => [name, String(value)])) : null,
      callBox(() => curlOfGet(path), () => curlOfGet(path)),
    );
    this.panel.unfold(false);
    return count;
  }
}
