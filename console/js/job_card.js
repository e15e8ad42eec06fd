// A job as a card that changes in place, and a file on its way to become one.

import { icon, make, plural, prose } from "./dom.js";
import { sizeOf } from "./files.js";
import { isOver } from "./follow.js";
import { problemCard } from "./panel.js";

const KINDS = { ingest: "Dialogues", append: "More turns", delete: "Deletion", erase: "Erasure", reindex: "Indexing again", retention: "Retention" };
const STATES = { receiving: "receiving", queued: "waiting", running: "indexing", cancelling: "being cancelled", done: "done", cancelled: "cancelled", failed: "failed" };

/** Title, state, bar, words and actions: what both kinds of card are made of. */
class Card {
  constructor(title, facts) {
    this.pill = make("span.pill");
    this.fill = make("span.bar-fill");
    this.bar = make("div.bar", { role: "progressbar", "aria-label": title, "aria-valuemin": "0", "aria-valuemax": "100" }, this.fill);
    this.line = make("p.job-words");
    this.actions = make("div.job-actions");
    this.extra = make("div.job-extra");
    this.root = make(
      "article.job",
      {},
      make("header.job-head", {}, make("h3.job-title", {}, make("bdi", {}, title)), make("span.job-facts", {}, facts), this.pill),
      this.bar,
      make("div.job-foot", {}, this.line, this.actions),
      this.extra,
    );
  }

  say(state, words) {
    this.root.dataset.state = state;
    this.pill.className = `pill pill-${state}`;
    this.pill.textContent = STATES[state] ?? state;
    this.words = words;
    this.line.textContent = words;
  }

  share(value) {
    this.fill.style.width = `${100 * value}%`;
    this.bar.setAttribute("aria-valuenow", String(Math.round(100 * value)));
  }
}

export class JobCard extends Card {
  /** @param {{name: string|null, cancel: () => void}} options `name` of the file, if it is known */
  constructor(job, { name, cancel }) {
    const began = new Date(job.created).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
    super(name ?? KINDS[job.kind] ?? job.kind, began);
    this.root.dataset.job = job.id;
    this.bad = make("span.bar-bad");
    this.bar.append(this.bad);
    this.errors = make("ul.job-errors");
    this.summary = make("summary");
    this.details = make("details.job-details", { hidden: true, open: true }, this.summary, this.errors);
    this.extra.append(this.details);
    this.stop = make("button.button.button-small", { type: "button" }, "Cancel");
    this.stop.addEventListener("click", () => {
      this.stop.disabled = true;
      cancel();
    });
    this.actions.append(this.stop);
    this.show(job);
  }

  show(job) {
    const { total, indexed, failed, cancelled } = job.counts;
    this.extra.querySelector(".card-problem")?.remove();
    this.say(job.state, wordsOf(job));
    this.share(total ? indexed / total : Number(job.state === "done"));
    this.bad.style.width = total ? `${(100 * failed) / total}%` : "0";
    this.bar.setAttribute("aria-valuetext", this.words);
    this.bar.hidden = isOver(job) && !failed && !cancelled;
    this.stop.hidden = isOver(job) || job.state === "cancelling";
    this.showErrors(job);
  }

  showErrors({ errors, counts }) {
    const missing = Math.max(0, counts.failed - errors.length);
    this.details.hidden = !errors.length;
    this.summary.textContent = `${plural(Math.max(counts.failed, errors.length), "item")} not taken in`;
    while (this.errors.lastElementChild?.matches(".job-missing")) this.errors.lastElementChild.remove();
    // What is shown stays: somebody may be reading it.
    for (const error of errors.slice(this.errors.children.length)) this.errors.append(errorLine(error));
    if (missing) this.errors.append(make("li.job-missing", {}, `… and ${missing.toLocaleString("en")} more.`));
  }

  lost() {
    this.line.textContent = "The gateway does not answer; asking again by itself…";
  }

  failed(problem) {
    this.extra.querySelector(".card-problem")?.remove();
    this.extra.prepend(problemCard(problem));
    this.stop.disabled = false;
  }
}

export class UploadCard extends Card {
  /** @param {{retry: () => void, again: () => void}} actions `again` sends also what is known */
  constructor(file, collection, { retry, again }) {
    super(file.name, sizeOf(file.size));
    Object.assign(this, { file, collection, retry, again });
    this.gone = false;
    this.say("queued", "Next in line.");
    this.share(0);
    this.offer(["Cancel", () => this.remove()]);
  }

  start() {
    this.controller = new AbortController();
    this.extra.replaceChildren();
    this.bar.hidden = false;
    this.say("receiving", "Reading the file…");
    this.share(0);
    this.offer(["Cancel", () => this.controller.abort()]);
    return this.controller;
  }

  sent(share) {
    this.share(share);
    this.say("receiving", share < 1 ? `Sending, ${Math.floor(100 * share)}%` : "Sent; the gateway writes it down…");
  }

  known() {
    this.bar.hidden = true;
    this.say("done", "This very file was taken in before, so nothing was sent twice.");
    this.offer(["Take it in again", () => this.again()], ["Dismiss", () => this.remove()]);
  }

  failed(problem) {
    this.bar.hidden = true;
    this.say("failed", "Nothing of this file was taken in.");
    this.extra.replaceChildren(problemCard(problem));
    this.offer(["Try again", () => this.retry()], ["Dismiss", () => this.remove()]);
  }

  offer(...actions) {
    this.actions.replaceChildren(...actions.map(([label, click]) => make("button.button.button-small", { type: "button", on: { click } }, label)));
  }

  remove() {
    this.gone = true;
    this.root.remove();
  }
}

function wordsOf({ state, counts, eta_s: eta }) {
  const { total, indexed, unchanged, failed, cancelled } = counts;
  const number = (count) => count.toLocaleString("en");
  const parts = [`${number(indexed)} of ${number(total)} indexed`];
  if (unchanged) parts.push(`${number(unchanged)} unchanged`);
  if (failed) parts.push(`${number(failed)} failed`);
  if (cancelled) parts.push(`${number(cancelled)} cancelled`);
  if (eta !== null && eta !== undefined && !isOver({ state })) parts.push(`about ${span(eta)} left`);
  return total || state !== "done" ? parts.join(" · ") : "Done.";
}

function span(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))}\u00a0s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)}\u00a0min` : `${(seconds / 3600).toFixed(1)}\u00a0h`;
}

/** One item that was not taken in: which, where in it, and why. */
function errorLine({ item, line, dialogue_id: id, at, why }) {
  return make(
    "li.job-error",
    {},
    icon("warning"),
    make(
      "div",
      {},
      make("p.job-error-where", {}, item === null ? null : make("b", {}, `item ${item}`), line ? make("span.soft", {}, `line ${line}`) : null, id ? make("bdi", {}, id) : null, at ? make("code", {}, at) : null),
      make("p", {}, ...prose(why)),
    ),
  );
}
