// What runs over a collection: files on their way, jobs, and what became of them.

import { announce, make } from "./dom.js";
import { followJob, isOver } from "./follow.js";
import { JobCard, UploadCard } from "./job_card.js";
import { problemCard } from "./panel.js";
import { asProblem } from "./run.js";
import { contentTypeOf, keyOf } from "./upload.js";

const MOST_STREAMS = 1; // a browser opens six connections to one host, for all its tabs together
const RECENT = 3;
const PASSING = new Set(["delete", "retention"]); // of interest only while they run, or if they fail

export class JobList {
  /** @param {{moved: (job: object) => void}} actions told of every step of a job */
  constructor(root, api, { moved }) {
    Object.assign(this, { root, api, moved });
    this.cards = new Map();
    this.names = new Map(); // file names of jobs that began on this page
    this.uploads = []; // cards of files that are not yet jobs
    this.streams = 0;
    this.controller = null;
    this.list = make("div.job-list");
    this.earlier = make("div.job-list");
    this.rest = make("details.earlier", { hidden: true }, make("summary", {}, "Earlier jobs"), this.earlier);
    this.notice = make("div", { role: "alert" });
  }

  get following() {
    return this.controller !== null;
  }

  async show(collection) {
    this.leave();
    const controller = (this.controller = new AbortController());
    this.collection = collection;
    this.cards.clear();
    this.uploads = this.uploads.filter((card) => !card.gone);
    this.list.replaceChildren(...this.uploads.filter((card) => card.collection === collection).map(({ root }) => root));
    this.earlier.replaceChildren();
    this.rest.hidden = true;
    this.notice.replaceChildren();
    this.root.replaceChildren(this.notice, this.list, this.rest);
    try {
      const { jobs } = await this.api.jobs(collection, controller.signal);
      if (controller.signal.aborted) return;
      const sorted = [...jobs].sort((one, other) => Date.parse(other.created) - Date.parse(one.created));
      sorted.filter((job) => !this.cards.has(job.id)).forEach((job, place) => this.add(job, place));
    } catch (error) {
      if (!controller.signal.aborted) this.notice.replaceChildren(problemCard(asProblem(error), { retry: () => this.show(collection) }));
    }
  }

  add(job, place) {
    const card = this.card(job);
    const told = job.state === "done" && !job.counts.failed; // nothing is left to say about it
    const old = isOver(job) && (told || place >= RECENT || PASSING.has(job.kind));
    (old ? this.earlier : this.list).append(card.root);
    this.rest.hidden = !this.earlier.children.length;
    if (!isOver(job)) this.watch(job.id);
  }

  card(job) {
    const card = new JobCard(job, { name: this.names.get(job.id) ?? null, cancel: () => this.cancel(job.id) });
    this.cards.set(job.id, card);
    return card;
  }

  /** Lets go of everything that is followed; jobs go on without being watched. */
  leave() {
    this.controller?.abort();
    this.controller = null;
  }

  /** Shows a job that has just begun, and follows it. */
  begin(job, place = null) {
    if (!this.cards.has(job.id)) {
      const { root } = this.card(job);
      if (place) place.replaceWith(root);
      else this.list.prepend(root);
    }
    this.step(job);
    if (!isOver(job)) this.watch(job.id);
  }

  async watch(id) {
    const { signal } = this.controller;
    const live = this.streams < MOST_STREAMS;
    this.streams += live ? 1 : 0;
    try {
      await followJob(this.api, id, { signal, live, show: (job) => this.step(job), lost: () => this.cards.get(id)?.lost() });
    } catch (error) {
      if (!signal.aborted) this.cards.get(id)?.failed(asProblem(error));
    } finally {
      this.streams -= live ? 1 : 0;
    }
  }

  step(job) {
    const card = this.cards.get(job.id);
    card?.show(job);
    this.moved(job);
    if (!isOver(job)) return;
    if (PASSING.has(job.kind) && job.state === "done") card?.root.remove();
    else announce(card?.words ?? "");
  }

  async cancel(id) {
    const card = this.cards.get(id);
    try {
      const job = await this.api.cancelJob(id);
      if (job?.state) this.step(job);
    } catch (error) {
      card.failed(asProblem(error));
    }
  }

  /** Sends files one after the other. */
  async send(collection, salt, files) {
    const cards = files.map((file) => {
      const card = new UploadCard(file, collection, {
        retry: () => this.sendOne(card, salt),
        again: () => this.sendOne(card, `${salt} ${Date.now()}`),
      });
      return card;
    });
    this.uploads.push(...cards);
    this.list.prepend(...cards.map(({ root }) => root));
    for (const card of cards) await this.sendOne(card, salt);
  }

  async sendOne(card, salt) {
    if (card.gone) return;
    const { file, collection } = card;
    const { signal } = card.start();
    try {
      const type = await contentTypeOf(file);
      const key = await keyOf(file, `${collection} ${salt}`);
      const accepted = await this.api.ingest(collection, file, { type, key, signal, told: (share) => card.sent(share) });
      if (this.cards.has(accepted.job)) return card.known(); // the key is known: nothing was sent twice
      this.names.set(accepted.job, file.name);
      const job = await this.api.job(accepted.job, signal);
      card.gone = true;
      // Where another collection is in front, the job is in the list of this one when it comes back.
      if (this.following && this.collection === collection) this.begin(job, card.root);
      else card.remove();
    } catch (error) {
      if (signal.aborted) card.remove();
      else card.failed(asProblem(error));
    }
  }
}
