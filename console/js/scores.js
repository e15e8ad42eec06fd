// What the scores of a fragment mean: as small meters, and in words.

import { make } from "./dom.js";

const COSINE = "How near the fragment lies to the query among the vectors (cosine, at best 1). None where only its words were found.";
const NOT_RUN = "No score: this step did not run for this fragment.";
const NAMES = { retrieval: "Retrieval", rerank: "Rerank", final: "Final" };

const MEANINGS = {
  none: {
    retrieval: COSINE,
    rerank: "No score: no reranker read the fragments again.",
    final: "Ranks of all retrieval methods in one number (RRF). Small by nature: only the order counts.",
  },
  pointwise: {
    retrieval: COSINE,
    rerank: "How probable the reranker finds it that this fragment answers, from 0 to 1.",
    final: "The fused rank with the weighted rerank score beside it, or retrieval plus rerank where one method searched. It orders the list.",
  },
  listwise: {
    retrieval: COSINE,
    rerank: "How probable the reranker finds this fragment the best of the list, from 0 to 1.",
    final: "The rerank score; what the list could not hold follows in order of retrieval.",
  },
};

/** How an answer was reranked in the end: what its scores mean depends on it. */
export function rankingOf({ fragments, degraded = [] }, asked) {
  if (!fragments.some(({ scores }) => scores.rerank !== null)) return "none";
  return asked === "listwise" && !degraded.includes("rerank-listwise") ? "listwise" : "pointwise";
}

/** Meters of one fragment. `best` is the largest final score of the answer: its bar is full. */
export function meters(scores, rerank, best) {
  const shares = {
    retrieval: scores.retrieval,
    rerank: scores.rerank,
    final: scores.final === null || best <= 0 ? null : scores.final / best,
  };
  return make("dl.scores", {}, ...Object.keys(NAMES).map((name) => meter(name, scores[name], shares[name], rerank)));
}

function meter(name, score, share, rerank) {
  const fill = make("span.meter-fill");
  fill.style.width = `${100 * Math.min(1, Math.max(0, share ?? 0))}%`;
  return make(
    `div.score.score-${name}`,
    { title: score === null ? NOT_RUN : MEANINGS[rerank][name] },
    make("dt", {}, NAMES[name]),
    make("dd", {}, score === null ? "–" : numberOf(score), make("span.meter", { "aria-hidden": "true" }, fill)),
  );
}

/** The same in words, for the panel. */
export function legend(rerank) {
  return make(
    "section.facts.legend",
    {},
    make("h3.facts-title", {}, "Reading the scores"),
    make("dl", {}, ...Object.keys(NAMES).flatMap((name) => [make(`dt.legend-${name}`, {}, NAMES[name]), make("dd", {}, MEANINGS[rerank][name])])),
  );
}

/** Two decimals, or two digits of what is smaller. */
export function numberOf(score) {
  return Math.abs(score) >= 0.1 || score === 0 ? score.toFixed(2) : score.toPrecision(2);
}
