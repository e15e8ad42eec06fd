// *Topics*: the dialogue, coloured by what it is about.

import { announce, byId, duration, make, plural } from "./dom.js";
import { textOf } from "./conversation.js";
import { curlOf, curlPreview } from "./curl.js";
import { languageOf } from "./language.js";
import { aboutAnswer, callBox, turnOf } from "./panel.js";
import { Run } from "./run.js";
import { inWords } from "./strip.js";

const PATH = "v1/fragments/split";
const HUES = 8;

export class Topics {
  constructor({ api, panel, conversation, strip }) {
    Object.assign(this, { api, panel, conversation, strip });
    this.active = false;
    this.subject = null;
    this.state = { kind: "idle" };
    this.run = new Run((state) => this.become(state));
    this.button = byId("topics-button");
    this.button.addEventListener("click", () => (this.run.busy ? this.run.cancel() : this.split()));
  }

  take(subject) {
    this.run.cancel({ quietly: true });
    this.subject = subject;
    this.state = { kind: "idle" };
  }

  split() {
    const { dialogue } = this.subject;
    return this.run.start((signal) => this.api.split(dialogue, signal));
  }

  become(state) {
    const before = this.state.kind;
    this.state = state;
    if (this.active) this.show(before !== state.kind);
  }

  /** Shows the topics; splits at once where that was not done yet. */
  enter() {
    this.active = true;
    this.show(true);
    if (this.state.kind === "idle" && this.subject) this.split();
  }

  leave() {
    this.active = false;
  }

  show(changed) {
    const { state, panel } = this;
    const busy = state.kind === "running" || state.kind === "waiting";
    this.button.textContent = busy ? "Cancel" : state.kind === "done" ? "Split again" : "Split into topics";
    this.button.classList.toggle("button-main", !busy);
    byId("progress").hidden = state.kind !== "running";
    if (changed && state.kind !== "done") {
      this.conversation.clear();
      this.strip.clear();
    }
    if (state.kind === "running") panel.running("Looking for the topics…", state.elapsedMs);
    else if (state.kind === "waiting") {
      panel.waiting(state.problem, state.secondsLeft, { hurry: () => this.run.hurry(), cancel: () => this.run.cancel() });
    } else if (state.kind === "failed") this.showFailure(state.problem);
    else if (state.kind === "done") this.showAnswer(state.answer, state.tookMs);
    else if (state.kind === "cancelled") panel.idle("Cancelled.", "“Split into topics” asks again.");
    else panel.idle("What is this dialogue about?", "The model gives every turn to exactly one topic; a topic may come back later.");
  }

  showFailure(problem) {
    this.panel.failed(problem, { retry: () => this.split(), jump: (id) => this.conversation.jump(id) });
    this.conversation.blame(problem.faults.map(({ at }) => turnOf(at)).filter((id) => id !== null));
  }

  showAnswer(answer, tookMs) {
    const { dialogue } = this.subject;
    const topics = answer.fragments.map((fragment) => fragment.utterance_ids);
    this.conversation.colour(topics);
    this.strip.show(
      topics.map((ids, place) => ({ ids, look: `topic-${place % HUES}` })),
      dialogue.utterances.length,
    );
    const count = plural(topics.length, "topic");
    const took = duration(answer.timings_ms?.total ?? tookMs);
    const list = make("ol.hits", {}, ...topics.map((ids, place) => this.line(ids, place)));
    const body = { dialogue };
    this.panel.say(
      "topics",
      `${count} · ${took}`,
      make("p.lead", {}, count),
      make("p.echo", {}, `in ${plural(dialogue.utterances.length, "turn")}, split in ${took}`),
      list,
      ...aboutAnswer(answer, tookMs),
      callBox(() => curlPreview(PATH, body), () => curlOf(PATH, body)),
    );
    this.panel.unfold(false);
    announce(`Found ${count}.`);
  }

  line(ids, place) {
    const firstWords = ids.map((id) => textOf(this.subject.dialogue.utterances[id] ?? { content: "" })).find(Boolean) ?? "";
    return make(
      "li",
      {},
      make(
        `button.hit.topic-${place % HUES}`,
        { type: "button", on: { click: () => this.jumpTo(ids[0]) } },
        make("span.hit-number.hit-topic", {}, String(place + 1)),
        make(
          "span.hit-words",
          {},
          make("span.hit-speaker", {}, `turns ${inWords(ids)}`),
          make("span.hit-text", { dir: "auto", lang: languageOf(firstWords) }, firstWords),
        ),
      ),
    );
  }

  jumpTo(id) {
    this.panel.unfold(false);
    this.conversation.jump(id, { block: "start" });
  }
}
