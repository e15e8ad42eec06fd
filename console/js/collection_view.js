// One collection: its counts, the way in for files, what runs, and what it holds.

import { dialoguePath } from "./api.js";
import { announce, icon, make, plural } from "./dom.js";
import { curlOfGet } from "./curl.js";
import { DialogueTable } from "./dialogue_table.js";
import { isOver } from "./follow.js";
import { JobList } from "./job_list.js";
import { callBox, copyable, problemCard, table } from "./panel.js";
import { Reader } from "./reader.js";
import { asProblem } from "./run.js";
import { inWords } from "./strip.js";

const REFRESH_MS = 1000;
const RELIST_MS = 4000;

export class CollectionView {
  /** @param {{dropped: () => void, counted: (collection: object) => void, closed: () => void}} actions */
  constructor(pane, page, { dropped, counted, closed }) {
    Object.assign(this, { page, api: page.api, corpus: page.corpus, panel: page.panel, confirm: page.confirm, counted });
    this.name = null;
    this.relisted = Number.NEGATIVE_INFINITY;
    this.build(dropped);
    this.jobs = new JobList(this.jobsRoot, page.api, { moved: (job) => this.moved(job) });
    this.table = new DialogueTable(this.tableRoot, page.api, { open: (id) => this.openDialogue(id), remove: (id) => this.askDelete(id) });
    this.reader = new Reader(pane, page, { back: "Dialogues", closed });
  }

  build(dropped) {
    this.title = make("h2.heading-title");
    this.facts = make("p.heading-facts");
    this.noticeRoot = make("div", { role: "alert" });
    this.jobsRoot = make("section.jobs", { "aria-label": "Jobs" });
    this.tableRoot = make("section.stored", { "aria-label": "Dialogues" });
    const chooser = make("input", { type: "file", hidden: true, multiple: true, accept: ".ndjson,.jsonl,.json,application/json,application/x-ndjson", id: "ingest-file" });
    chooser.addEventListener("change", () => {
      this.takeFiles([...chooser.files]);
      chooser.value = "";
    });
    this.zone = make(
      "div.drop-zone",
      {},
      icon("upload"),
      make("p", {}, make("button.link", { type: "button", id: "choose-file", on: { click: () => chooser.click() } }, "Choose a file"), " or drop it here"),
      make("p.drop-hint", {}, "NDJSON, one dialogue a line, or a JSON list; up to 10,000 at once"),
      chooser,
    );
    this.root = make(
      "div.collection",
      {},
      make(
        "div.heading",
        {},
        this.title,
        this.facts,
        make(
          "div.heading-actions",
          {},
          make("button.button.button-small", { type: "button", id: "search-it", on: { click: () => this.page.choose("search") } }, icon("search"), "Search it"),
          make("button.button.button-small.button-danger", { type: "button", id: "drop-collection", on: { click: dropped } }, icon("bin"), "Drop…"),
        ),
      ),
      this.noticeRoot,
      this.zone,
      this.jobsRoot,
      this.tableRoot,
    );
  }

  focus() {
    this.zone.querySelector("button").focus();
  }

  get isReading() {
    return this.reader.isOpen;
  }

  /** Shows a collection in `place`; what was followed of another is let go. */
  show(collection, place) {
    this.reader.close({ quietly: true });
    if (this.root.parentNode !== place || place.children.length > 1) place.replaceChildren(this.root);
    this.count(collection);
    if (this.name === collection.name && this.jobs.following) return;
    this.name = collection.name;
    this.notice();
    this.jobs.show(collection.name);
    this.table.show(collection.name);
  }

  leave() {
    this.reader.close({ quietly: true });
    this.jobs.leave();
    clearTimeout(this.timer);
    this.timer = null;
  }

  count(collection) {
    const { name, dialogues, fragments, pending } = collection;
    this.title.replaceChildren(make("bdi", {}, name));
    this.facts.replaceChildren(
      [plural(dialogues, "dialogue"), plural(fragments, "fragment")].join(" · "),
      ...(pending ? [make("span.pending", {}, `${pending.toLocaleString("en")} pending`)] : []),
    );
    this.zone.classList.toggle("drop-zone-large", !dialogues && !pending);
    this.table.total = dialogues + pending;
  }

  notice(content = null) {
    this.noticeRoot.replaceChildren(...(content ? [content] : []));
  }

  takeFiles(files) {
    this.reader.close({ quietly: true });
    this.jobs.send(this.name, this.corpus.collection?.created ?? "", files);
  }

  /** A job went on: the counts follow soon, the list when it is over. */
  moved(job) {
    if (isOver(job)) {
      this.relist();
      clearTimeout(this.timer);
      this.timer = null;
      this.refresh();
    } else {
      this.timer ??= setTimeout(() => {
        this.timer = null;
        this.refresh();
        if (performance.now() - this.relisted > RELIST_MS) this.relist();
      }, REFRESH_MS);
    }
  }

  relist() {
    this.relisted = performance.now();
    this.table.reload();
  }

  async refresh() {
    const { name } = this;
    try {
      const fresh = await this.corpus.refresh(name);
      if (name !== this.name) return;
      this.count(fresh);
      this.counted(fresh);
    } catch {
      // Only the counts are old now; the next step of the job asks again.
    }
  }

  async openDialogue(id) {
    const path = dialoguePath(this.name, id);
    this.panel.idle("One dialogue.");
    const stored = await this.reader.open(this.name, id);
    if (!stored) return;
    this.reader.actions.replaceChildren(
      make("button.button.button-small.button-danger", { type: "button", on: { click: () => this.askDelete(id) } }, icon("bin"), "Delete…"),
    );
    const { dialogue, revision, state, updated, fragments } = stored;
    const metadata = Object.entries(dialogue.metadata ?? {});
    const light = (ids) => {
      this.panel.unfold(false);
      this.reader.light(ids, [], ids);
    };
    const rows = fragments.map((ids, place) => [
      `fragment ${place + 1}`,
      make("button.link", { type: "button", on: { click: () => light(ids) } }, `turns ${inWords(ids)}`),
    ]);
    this.panel.say(
      "idle",
      id,
      make("p.lead", {}, make("bdi", {}, id)),
      rows.length ? table("In the index", rows) : make("p.hint", {}, "Not in the index yet."),
      metadata.length ? table("Metadata", metadata.map(([name, value]) => [name, String(value)])) : null,
      table("About it", [
        ["state", state],
        ["revision", String(revision)],
        ["changed", new Date(updated).toLocaleString("en", { dateStyle: "medium", timeStyle: "short" })],
        ...(dialogue.acl?.length ? [["seen by", dialogue.acl.join(", ")]] : []),
        ["id", copyable(id)],
      ]),
      callBox(() => curlOfGet(path), () => curlOfGet(path)),
    );
  }

  async askDelete(id) {
    const sure = await this.confirm.ask({
      title: "Delete this dialogue?",
      words: [make("code", {}, id), " goes for good: its turns, its vectors, and pictures that nothing else uses."],
      yes: "Delete",
    });
    if (!sure) return;
    this.reader.close();
    this.table.fade(id);
    try {
      await this.api.deleteDialogue(this.name, id);
      announce(`Dialogue ${id} is deleted.`);
      this.notice();
    } catch (error) {
      const problem = asProblem(error);
      this.notice(problemCard(problem, { retry: () => this.askDelete(id) }));
      announce(`Error: ${problem.title}. ${problem.detail}`);
    }
    this.table.reload();
    this.refresh();
  }
}
