// What `degraded` names, for people.

const WORDS = [
  [/^utterance-trimmed$/, "A long turn was cut short before the model read it."],
  [/^unknown-ids-dropped$/, "The model named turns that are not there; they were left out."],
  [/^rerank-partial$/, "Time ran out while reranking: some fragments stand in order of retrieval."],
  [/^rerank-listwise$/, "There was no time for listwise reranking; pointwise took its place."],
  [/^rerank/, "Reranking was left out: the fragments stand in order of retrieval."],
  [/^refine/, "Refining was left out or cut short: fragments are shown as retrieval found them."],
  [/^retrieve-/, "A way of searching did not take part:"],
];

/** @returns {{name: string, words: string}} */
export function explain(name) {
  const found = WORDS.find(([pattern]) => pattern.test(name));
  return { name: name.replace(/^retrieve-/, ""), words: found ? found[1] : "Left out or cut short:" };
}
