// The turns that were found, as lines that lead to them.

import { make } from "./dom.js";
import { picturesOf, textOf } from "./conversation.js";
import { languageOf } from "./language.js";

/** All that was found in a dialogue, as ids and as lines. */
export function foundIn(fragments, dialogue) {
  const union = (field) => [...new Set(fragments.flatMap((fragment) => fragment[field]))].sort((one, other) => one - other);
  const turnIds = union("utterance_ids");
  const all = picturesOf(dialogue);
  const imageIds = union("image_ids").filter((id) => all[id]);
  const shown = [...new Set([...turnIds, ...imageIds.map((id) => all[id].turnId)])].sort((one, other) => one - other);
  const hits = shown
    .filter((id) => dialogue.utterances[id])
    .map((id) => ({
      id,
      turn: dialogue.utterances[id],
      urls: imageIds.filter((image) => all[image].turnId === id).map((image) => all[image].url),
    }));
  return { turnIds, imageIds, hits, toReveal: turnIds.length ? turnIds : shown };
}

/** @param {(turnId: number) => void} jump */
export function hitList(hits, pictures, jump) {
  return make("ol.hits", {}, ...hits.map((hit) => make("li", {}, line(hit, pictures, jump))));
}

function line({ id, turn, urls }, pictures, jump) {
  const words = textOf(turn);
  return make(
    "button.hit",
    { type: "button", on: { click: () => jump(id) } },
    make("span.hit-number", {}, String(id)),
    make(
      "span.hit-words",
      {},
      make("bdi.hit-speaker", {}, turn.speaker),
      words ? make("span.hit-text", { dir: "auto", lang: languageOf(words) }, words) : null,
      urls.length ? make("span.thumbs", {}, ...urls.map((url) => pictures.thumb(url))) : null,
    ),
  );
}
