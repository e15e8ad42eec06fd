// The side panel: what was found, how long it took, or what went wrong.

import { announce, byId, copyText, duration, icon, make, plural, prose } from "./dom.js";

const WAITS = { overloaded: "The engine is busy" };

export class Panel {
  constructor() {
    this.root = byId("panel");
    this.body = byId("panel-body");
    this.summary = byId("panel-summary");
    this.handle = byId("panel-handle");
    this.handle.addEventListener("click", () => this.unfold(this.handle.getAttribute("aria-expanded") !== "true"));
  }

  /** Matters on a phone only, where the panel is a sheet at the bottom. */
  unfold(open) {
    this.handle.setAttribute("aria-expanded", String(open));
    this.root.classList.toggle("unfolded", open);
  }

  /** Replaces what the panel says. `kind` is for its look, `summary` for a phone's one line. */
  say(kind, summary, ...content) {
    this.root.dataset.kind = kind;
    this.summary.textContent = summary;
    this.body.replaceChildren(...content.filter(Boolean));
    this.body.scrollTop = 0;
  }

  idle(...words) {
    this.say("idle", words[0], ...words.map((text, place) => make(place ? "p.hint" : "p.lead", {}, text)));
    this.unfold(false);
  }

  /** Called many times a second: only the clock changes. */
  running(words, elapsedMs) {
    if (this.root.dataset.kind !== "running") {
      this.clock = make("span.clock");
      this.say("running", words, make("p.lead.busy", {}, make("span.spinner", { "aria-hidden": "true" }), words), this.clock);
      this.unfold(false);
      announce(words);
    }
    this.clock.textContent = elapsedMs > 900 ? `${(elapsedMs / 1000).toFixed(1)} s` : "";
  }

  /** A 503 or 429 that says when to come back. */
  waiting(problem, secondsLeft, { hurry, cancel }) {
    const words = { 429: "Many requests at once", 503: WAITS[problem.slug] ?? "The engine is starting" }[problem.status];
    if (this.root.dataset.kind !== "waiting") {
      this.clock = make("p.countdown");
      this.say(
        "waiting",
        words,
        make(
          "article.card.card-waiting",
          {},
          make("h3.card-title", {}, make("span.spinner", { "aria-hidden": "true" }), words),
          make("p", {}, ...prose(problem.detail || problem.title)),
          this.clock,
          make(
            "div.card-actions",
            {},
            make("button.button", { type: "button", on: { click: hurry } }, "Try now"),
            make("button.button.button-quiet", { type: "button", on: { click: cancel } }, "Cancel"),
          ),
        ),
      );
      this.unfold(true);
      announce(`${words}. Trying again by itself.`);
    }
    this.clock.textContent = secondsLeft ? `Trying again in ${secondsLeft} s, by itself.` : "Asking again…";
  }

  /**
   * A problem+json as a card.
   * @param {import("./api.js").Problem} problem
   * @param {{retry: () => void, jump: (turnId: number) => void}} actions
   */
  failed(problem, { retry, jump }) {
    this.say("failed", problem.title, problemCard(problem, { retry, jump }), aboutProblem(problem));
    this.unfold(true);
    announce(`Error: ${problem.title}. ${problem.detail}`);
  }
}

/** A problem in its own words: what, why, where. Actions that are not given have no button. */
export function problemCard(problem, { retry = null, jump = null } = {}) {
  return make(
    "article.card.card-problem",
    {},
    make("h3.card-title", {}, problem.title),
    problem.detail && problem.detail !== problem.title ? make("p", {}, ...prose(problem.detail)) : null,
    problem.faults.length ? make("ul.faults", {}, ...problem.faults.map((fault) => faultLine(fault, jump))) : null,
    retry ? make("div.card-actions", {}, make("button.button", { type: "button", on: { click: retry } }, "Try again")) : null,
  );
}

/** Status and request id of a problem; null where nobody answered. */
export function aboutProblem(problem) {
  const facts = [];
  if (problem.status) facts.push(["status", `${problem.status} ${problem.slug}`.trim()]);
  if (problem.requestId) facts.push(["request", copyable(problem.requestId)]);
  return facts.length ? table("About this error", facts) : null;
}

/** One fault: where, as a way there if it is a turn, and why. */
function faultLine({ at, why }, jump) {
  const turn = jump === null ? null : turnOf(at);
  const rest = String(at).replace(/^body\//, "").replace(/^dialogue\/utterances\/\d+\/?/, "");
  const place =
    turn === null
      ? make("code", {}, rest)
      : make("button.link", { type: "button", on: { click: () => jump(turn) } }, `turn ${turn}`);
  return make("li.fault", {}, place, turn !== null && rest ? make("code", {}, rest) : null, make("span", {}, ...prose(why)));
}

/** The turn that a fault's place is in, or null. */
export function turnOf(at) {
  const match = /dialogue\/utterances\/(\d+)/.exec(String(at));
  return match ? Number(match[1]) : null;
}

/** A small table of facts under a heading. */
export function table(heading, rows) {
  return make(
    "section.facts",
    {},
    make("h3.facts-title", {}, heading),
    make("dl.facts-list", {}, ...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)])),
  );
}

/** Times, versions and the request id of a response. */
export function aboutAnswer(answer, tookMs) {
  const { total, ...steps } = answer.timings_ms ?? {};
  const rows = Object.entries(steps).map(([step, ms]) => [step, duration(ms)]);
  if (total !== undefined) rows.push(["gateway, in all", duration(total)]);
  rows.push(["seen from here", duration(tookMs)]);
  const about = Object.entries(answer.models ?? {}).map(([task, version]) => [task, make("code", {}, String(version))]);
  if (answer.degraded?.length) about.push(["cut short", answer.degraded.join(", ")]);
  if (answer.request_id) about.push(["request", copyable(answer.request_id)]);
  return [table("Times", rows), table("Made by", about)];
}

/** The call as curl, with a button that copies it whole. */
export function callBox(preview, whole) {
  return make(
    "details.call",
    {},
    make("summary", {}, "API call"),
    make("pre.call-text", { tabindex: "0" }, preview()),
    copyButton("Copy as curl", whole),
    preview().includes("$COLLOQUY_KEY") ? make("p.hint", {}, "Set COLLOQUY_KEY to your key or token first.") : null,
  );
}

export function copyButton(label, text) {
  const words = make("span", {}, label);
  const button = make("button.button.button-small", { type: "button" }, icon("copy"), words);
  button.addEventListener("click", async () => {
    const copied = await copyText(text());
    words.textContent = copied ? "Copied" : "Could not copy";
    announce(words.textContent);
    setTimeout(() => (words.textContent = label), 1600);
  });
  return button;
}

/** An id that a click copies. */
export function copyable(id) {
  const short = id.length > 14 ? `${id.slice(0, 12)}…` : id;
  const button = make("button.link.mono", { type: "button", title: `Copy ${id}` }, short);
  button.addEventListener("click", async () => {
    button.textContent = (await copyText(id)) ? "copied" : id;
    setTimeout(() => (button.textContent = short), 1200);
  });
  return button;
}

/** `3 turns and 1 picture`. */
export function countOf(turns, pictures) {
  const words = turns ? [plural(turns, "turn")] : [];
  if (pictures) words.push(plural(pictures, "picture"));
  return words.join(" and ");
}
