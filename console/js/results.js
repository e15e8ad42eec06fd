// What a search in a collection found: a card for each fragment.

import { icon, make, plural } from "./dom.js";
import { partsOf } from "./conversation.js";
import { explain } from "./degraded.js";
import { languageOf } from "./language.js";
import { meters } from "./scores.js";
import { inWords } from "./strip.js";

const TURNS_SHOWN = 6;

/**
 * @param {object} answer a `FragmentSearchResponse`
 * @param {string} rerank how it was reranked: what the scores mean depends on it
 * @param {{pictures: object, lightbox: object, open: (fragment: object) => void}} tools
 */
export function resultCards(answer, rerank, tools) {
  const best = Math.max(0, ...answer.fragments.map(({ scores }) => scores.final ?? 0));
  return make(
    "ol.results-list",
    {},
    ...answer.fragments.map((fragment, place) => make("li", {}, card(fragment, place, meters(fragment.scores, rerank, best), tools))),
  );
}

/** What was left out on the way, or null. */
export function degradedNote(names) {
  if (!names.length) return null;
  const lines = names.map(explain).map(({ name, words }) => make("li", { title: name }, words, words.endsWith(":") ? make("code", {}, ` ${name}`) : null));
  return make("div.note", { role: "note" }, icon("clock"), make("ul", {}, ...lines));
}

function card(fragment, place, scores, { pictures, lightbox, open }) {
  const { utterances, dialogue_id: id } = fragment;
  const lines = utterances.map((turn, place) => line(turn, utterances[place - 1], pictures, lightbox));
  const list = make("ol.lines", {}, ...lines.slice(0, TURNS_SHOWN));
  return make(
    "article.result",
    { "aria-label": `Result ${place + 1}` },
    make(
      "header.result-head",
      {},
      make("span.result-rank", { "aria-hidden": "true" }, String(place + 1)),
      make("div.result-where", {}, make("h3.result-title", {}, make("bdi", {}, id ?? "")), make("p.result-facts", {}, factsOf(fragment))),
      scores,
    ),
    list,
    make(
      "footer.result-foot",
      {},
      utterances.length > TURNS_SHOWN ? moreButton(lines.slice(TURNS_SHOWN), list) : null,
      make(
        "button.button.button-small.result-open",
        { type: "button", "aria-label": `Open dialogue ${id ?? ""}`, on: { click: () => open(fragment) } },
        "Open dialogue",
        icon("right"),
      ),
    ),
  );
}

function factsOf({ utterance_ids: turns, image_ids: images, utterances }) {
  const time = utterances.map((turn) => new Date(turn.time ?? Number.NaN)).find((date) => !Number.isNaN(date.getTime()));
  return [
    turns.length === 1 ? `turn ${turns[0]}` : `turns ${inWords(turns)}`,
    images.length ? plural(images.length, "picture") : null,
    time ? time.toLocaleDateString("en", { dateStyle: "medium" }) : null,
  ]
    .filter(Boolean)
    .join(" · ");
}

function moreButton(lines, list) {
  const button = make("button.link", { type: "button" }, `Show ${plural(lines.length, "more turn")}`);
  button.addEventListener("click", () => {
    list.append(...lines);
    button.remove();
    lines[0].tabIndex = -1;
    lines[0].focus({ preventScroll: true });
  });
  return button;
}

function line(turn, before, pictures, lightbox) {
  const apart = before && turn.id !== before.id + 1; // turns between them are not of the fragment
  const row = make(`li.line${apart ? ".line-apart" : ""}`, {}, make("span.hit-number", {}, make("span.visually-hidden", {}, "turn "), String(turn.id)));
  const words = make("div.line-words", {}, make("bdi.hit-speaker", {}, turn.speaker));
  let frames = null;
  for (const part of partsOf(turn)) {
    if (part.type === "text") {
      frames = null;
      if (part.text.trim()) words.append(make("p.line-text", { dir: "auto", lang: languageOf(part.text) }, part.text));
    } else {
      if (!frames) words.append((frames = make("div.line-pictures")));
      frames.append(frame(part.image_url.url, turn, pictures, lightbox));
    }
  }
  row.append(words);
  return row;
}

function frame(url, turn, pictures, lightbox) {
  const button = pictures.thumb(url, "button.line-picture");
  button.type = "button";
  button.setAttribute("aria-label", `Picture in turn ${turn.id}, from ${turn.speaker}: open`);
  button.addEventListener("click", async () => {
    const source = await pictures.whole(url);
    if (source) lightbox.open([{ url: source, caption: `Turn ${turn.id} · ${turn.speaker}` }], 0);
  });
  return button;
}
