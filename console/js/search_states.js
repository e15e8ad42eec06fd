// What stands where results will be: nothing yet, nothing at all, nothing found, not yet here.

import { collectionPath } from "./api.js";
import { curlOfFile, curlOfPut } from "./curl.js";
import { icon, make, plural } from "./dom.js";
import { callBox, copyButton, problemCard } from "./panel.js";
import { NDJSON } from "./upload.js";

const EXAMPLE = '{"id": "d-1", "utterances": [{"speaker": "Ana", "content": "We should book the cabin."}, …]}';

/** Cards to come: they keep the place, so that nothing jumps. */
export function skeletons() {
  const one = () => make("div.skeleton", {}, make("span"), make("span"), make("span"));
  return make("div.results-list", { "aria-hidden": "true" }, one(), one(), one());
}

export function startHere(collection) {
  return make(
    "div.empty",
    {},
    make("span.empty-sign", {}, icon("search")),
    make("h2.empty-title", {}, "Search in ", make("bdi", {}, collection.name)),
    make("p", {}, collection.dialogues ? `${plural(collection.dialogues, "dialogue")} in ${plural(collection.fragments, "fragment")}, by words, by a picture, or by both.` : "Nothing is indexed in it yet: drop a file in, under Collections."),
    pendingLine(collection),
  );
}

export function emptyCorpus(create) {
  return make(
    "div.empty",
    {},
    make("span.empty-sign", {}, icon("stack")),
    make("h2.empty-title", {}, "There is no collection yet"),
    make("p", {}, "Drop a file of dialogues here, or give a collection a name first. Dialogues can be searched as soon as they are indexed."),
    make("button.button.button-main", { type: "button", on: { click: create } }, icon("plus"), "New collection"),
  );
}

export function nothingFound(collection, { unfiltered, unrefined }) {
  return make(
    "div.empty",
    {},
    make("h2.empty-title", {}, "Nothing in ", make("bdi", {}, collection?.name ?? "this collection"), " answers that."),
    unfiltered ? make("p", {}, "Only what the filters let through was searched.") : null,
    unrefined ? make("p", {}, "Refining drops every candidate in which the model finds no answer.") : null,
    collection ? pendingLine(collection) : null,
    make(
      "div.empty-actions",
      {},
      unfiltered ? make("button.button", { type: "button", on: { click: unfiltered } }, "Search without filters") : null,
      unrefined ? make("button.button", { type: "button", on: { click: unrefined } }, "Search without refining") : null,
    ),
  );
}

/** Why the collections cannot be listed: a failure, or an installation that has none. */
export function unlisted(problem, retry) {
  if (problem.slug !== "unsupported") return problemCard(problem, { retry });
  return make(
    "div.empty",
    {},
    make("span.empty-sign", {}, icon("stack")),
    make("h2.empty-title", {}, "This installation has no collections"),
    make("p", {}, "Its profile has no index. Find and Topics work on one dialogue at a time, without any."),
  );
}

/** The one command that fills a collection from a shell. */
export function indexCommand(name) {
  const command = `colloquy index --collection ${name} dialogues.ndjson`;
  return [
    make("p.hint", {}, "In a shell one command does it, and takes pictures along that lie beside the file:"),
    make("pre.call-text.call-wrap", { tabindex: "0" }, command),
    copyButton("Copy the command", () => command),
  ];
}

/** What a file looks like, and the commands that make and fill a collection. */
export function howToFill(name) {
  const path = collectionPath(name);
  const commands = curlOfPut(path, {}) + curlOfFile(`${path}/dialogues`, NDJSON, "dialogues.ndjson");
  return [
    make("p.hint", {}, "A file has a dialogue on each line (NDJSON), or is a JSON list of them:"),
    make("pre.call-text.call-wrap", { tabindex: "0" }, EXAMPLE),
    ...indexCommand(name),
    callBox(() => commands, () => commands),
  ];
}

function pendingLine({ pending }) {
  return pending ? make("p.empty-pending", {}, `${plural(pending, "dialogue")} more on the way: accepted, not searchable yet.`) : null;
}
