// *Find*: a query, and the fragment that answers it lights up in the dialogue.

import { announce, byId, duration, icon, make } from "./dom.js";
import { curlOf, curlPreview } from "./curl.js";
import { foundIn, hitList } from "./hits.js";
import { languageOf } from "./language.js";
import { aboutAnswer, callBox, countOf, turnOf } from "./panel.js";
import { Run } from "./run.js";
import { inWords } from "./strip.js";

const PATH = "v1/fragments/search";

export class Find {
  constructor({ api, panel, conversation, strip, pictures }) {
    Object.assign(this, { api, panel, conversation, strip, pictures });
    this.active = false;
    this.subject = null;
    this.state = { kind: "idle" };
    this.asked = "";
    this.run = new Run((state) => this.become(state));
    this.field = byId("query");
    this.button = byId("find-button");
    this.button.addEventListener("click", (event) => {
      if (!this.run.busy) return;
      event.preventDefault();
      this.run.cancel();
    });
    byId("find-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.search(this.field.value);
    });
  }

  /** Takes up another dialogue; what ran over the one before is cancelled. */
  take(subject) {
    this.run.cancel({ quietly: true });
    this.subject = subject;
    this.state = { kind: "idle" };
    this.field.value = subject.query ?? "";
    byId("chips").replaceChildren(...subject.queries.map((suggested) => this.chip(suggested)));
  }

  chip({ query, answered_by: by }) {
    const chip = make("button.chip", { type: "button", lang: languageOf(query) }, query);
    if (by === "picture") {
      chip.prepend(icon("picture"));
      chip.title = "Only a picture answers this";
    }
    chip.addEventListener("click", () => {
      this.field.value = query;
      this.search(query);
    });
    return chip;
  }

  search(text) {
    const query = text.trim();
    if (!query) return this.field.focus();
    const { dialogue } = this.subject;
    this.asked = query;
    this.subject.query = query;
    return this.run.start((signal) => this.api.search(dialogue, query, signal));
  }

  become(state) {
    const before = this.state.kind;
    this.state = state;
    if (!this.active) return;
    this.show(before !== state.kind);
    if (state.kind === "done") this.conversation.reveal(foundIn(state.answer.fragments, this.subject.dialogue).toReveal);
  }

  enter() {
    this.active = true;
    this.show(true);
  }

  leave() {
    this.active = false;
  }

  show(changed) {
    const { state, panel } = this;
    const busy = state.kind === "running" || state.kind === "waiting";
    this.button.textContent = busy ? "Cancel" : "Find";
    this.button.classList.toggle("button-main", !busy);
    byId("progress").hidden = state.kind !== "running";
    if (changed && state.kind !== "done") {
      this.conversation.clear();
      this.strip.clear();
    }
    for (const chip of byId("chips").children) {
      const asked = state.kind !== "idle" && chip.textContent === this.asked;
      chip.setAttribute("aria-pressed", String(asked));
      if (asked && changed) chip.scrollIntoView({ block: "nearest", inline: "center" });
    }
    if (state.kind === "running") panel.running("Reading the dialogue…", state.elapsedMs);
    else if (state.kind === "waiting") panel.waiting(state.problem, state.secondsLeft, this.waitingActions());
    else if (state.kind === "failed") this.showFailure(state.problem);
    else if (state.kind === "done") this.showAnswer(state.answer, state.tookMs);
    else if (state.kind === "cancelled") panel.idle("Cancelled.", "Nothing was lost; Find asks again.");
    else panel.idle("Ask about this dialogue.", "The model reads every turn and every picture, and lights up exactly what answers.");
  }

  waitingActions() {
    return { hurry: () => this.run.hurry(), cancel: () => this.run.cancel() };
  }

  showFailure(problem) {
    const jump = (id) => this.conversation.jump(id);
    this.panel.failed(problem, { retry: () => this.search(this.asked), jump });
    this.conversation.blame(problem.faults.map(({ at }) => turnOf(at)).filter((id) => id !== null));
  }

  showAnswer(answer, tookMs) {
    const { dialogue } = this.subject;
    const { turnIds, imageIds, hits } = foundIn(answer.fragments, dialogue);
    this.conversation.light(turnIds, imageIds);
    this.strip.show([{ ids: turnIds, look: "mark-lit" }], dialogue.utterances.length);
    const count = countOf(turnIds.length, imageIds.length);
    const body = { query: this.asked, dialogue };
    const tail = [
      ...aboutAnswer(answer, tookMs),
      callBox(() => curlPreview(PATH, body), () => curlOf(PATH, body)),
    ];
    const took = duration(answer.timings_ms?.total ?? tookMs);
    if (!hits.length) {
      const words = "Nothing in this dialogue answers that.";
      this.panel.say("nothing", words, make("p.lead", {}, words), this.echo(took), ...tail);
      this.panel.unfold(false);
      announce(words);
      return;
    }
    const list = hitList(hits, this.pictures, (id) => this.jumpTo(id));
    this.panel.say("found", `${count} · ${took}`, make("p.lead", {}, count), this.echo(took), list, ...tail);
    this.panel.unfold(false);
    announce(`Found ${count}: turn ${inWords(turnIds)}.`);
  }

  echo(took) {
    return make("p.echo", {}, "for ", make("q", { lang: languageOf(this.asked) }, this.asked), ` in ${took}`);
  }

  jumpTo(id) {
    this.panel.unfold(false);
    this.conversation.jump(id);
  }
}
