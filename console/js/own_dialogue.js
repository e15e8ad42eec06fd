// What a user typed, as a dialogue of the API: JSON, or one `name: text` a line.

import { JsonFault, lineOf, parseJson } from "./json_places.js";

const MOST_TURNS = 5000;
const MOST_SHOWN_FAULTS = 8;
const SPEAKER = /^([^\s:：][^:：]{0,63}?)\s*[:：](?!\/\/)\s*(.*)$/u;
const CLOCK = /^\d{1,2}[:：]\d\d/;
const PICTURE = /\[picture (\d+)\]/g;

/**
 * @typedef {{place: string, why: string, offset: number|null}} Fault
 * @param {string} text
 * @param {string[]} pictures data URLs that `[picture 1]`… stand for in the text form
 * @returns {{dialogue: object, query: string|null, title: string|null} | {faults: Fault[]}}
 */
export function readDialogue(text, pictures) {
  const start = text.trimStart();
  if (!start) return { faults: [{ place: "", why: "There is nothing here yet.", offset: null }] };
  return start.startsWith("{") || (start.startsWith("[") && !start.startsWith("[picture "))
    ? readJson(text)
    : readLines(text, pictures);
}

function readJson(text) {
  let read;
  try {
    read = parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    const { line, column } = lineOf(text, error.offset);
    return { faults: [{ place: `line ${line}, column ${column}`, why: sentence(error.message), offset: error.offset }] };
  }
  const { value, places } = read;
  const { dialogue, prefix } = unwrap(value);
  const faults = [];
  const blame = (path, why) => {
    const offset = nearest(places, prefix + path);
    faults.push({ place: `line ${lineOf(text, offset).line}, ${path || "the JSON"}`, why, offset });
  };
  checkDialogue(dialogue, blame);
  if (faults.length > MOST_SHOWN_FAULTS) {
    const more = faults.length - MOST_SHOWN_FAULTS;
    faults.splice(MOST_SHOWN_FAULTS, more, { place: "", why: `… and ${more} more.`, offset: null });
  }
  if (faults.length) return { faults };
  return {
    dialogue,
    query: typeof value.query === "string" ? value.query : null,
    title: typeof value.title === "string" ? value.title : null,
  };
}

/** A dialogue may stand alone, as a bare list of turns, or inside a request or a sample. */
function unwrap(value) {
  if (Array.isArray(value)) return { dialogue: { utterances: value }, prefix: "bare" };
  if (value.dialogue !== undefined && value.utterances === undefined) {
    return { dialogue: value.dialogue, prefix: "dialogue/" };
  }
  return { dialogue: value, prefix: "" };
}

function checkDialogue(dialogue, blame) {
  if (!isRecord(dialogue)) return blame("", "The dialogue must be an object with a list `utterances`.");
  const turns = dialogue.utterances;
  if (turns === undefined) return blame("", "There is no list `utterances`.");
  if (!Array.isArray(turns)) return blame("utterances", "This must be a list of turns.");
  if (!turns.length) return blame("utterances", "The dialogue has no turns.");
  if (turns.length > MOST_TURNS) return blame("utterances", `More than ${MOST_TURNS} turns.`);
  turns.forEach((turn, position) => checkTurn(turn, `utterances/${position}`, blame));
}

function checkTurn(turn, path, blame) {
  if (!isRecord(turn)) return blame(path, "A turn must be an object with `speaker` and `content`.");
  if (turn.speaker === undefined) blame(path, "`speaker` is missing.");
  else if (typeof turn.speaker !== "string" || !turn.speaker) blame(`${path}/speaker`, "This must be a name.");
  if (turn.content === undefined) return blame(path, "`content` is missing.");
  if (typeof turn.content === "string") return;
  if (!Array.isArray(turn.content) || !turn.content.length) {
    return blame(`${path}/content`, "This must be a text or a list of parts.");
  }
  turn.content.forEach((part, position) => checkPart(part, `${path}/content/${position}`, blame));
}

function checkPart(part, path, blame) {
  if (part?.type === "text") {
    if (typeof part.text !== "string") blame(path, "A part of type `text` needs a text `text`.");
  } else if (part?.type === "image_url") {
    if (typeof part.image_url?.url !== "string") blame(path, "A part of type `image_url` needs `image_url.url`.");
  } else {
    blame(path, "The `type` of a part is `text` or `image_url`.");
  }
}

/** The offset of a path, or of the closest thing around it. */
function nearest(places, path) {
  let search = path.startsWith("bare") ? path.replace(/^bareutterances\/?/, "") : path.replace(/\/$/, "");
  while (!places.has(search) && search.includes("/")) search = search.slice(0, search.lastIndexOf("/"));
  return places.get(search) ?? 0;
}

function readLines(text, pictures) {
  const turns = [];
  const faults = [];
  let offset = 0;
  text.split("\n").forEach((raw, position) => {
    const line = raw.trimEnd();
    const spoken = /^\s/.test(line) || CLOCK.test(line) ? null : SPEAKER.exec(line);
    if (spoken) {
      turns.push({ speaker: spoken[1], text: spoken[2] });
    } else if (line && turns.length) {
      turns.at(-1).text += `\n${line.trim()}`; // a line without a name goes on with the turn before
    } else if (line && !faults.length) {
      faults.push({ place: `line ${position + 1}`, why: "Nobody says this: write `name: text`.", offset });
    }
    offset += raw.length + 1;
  });
  if (faults.length) return { faults };
  for (const turn of turns) {
    for (const [, number] of turn.text.matchAll(PICTURE)) {
      if (!pictures[number - 1]) {
        const at = text.indexOf(`[picture ${number}]`);
        const place = `line ${lineOf(text, at).line}`;
        faults.push({ place, why: `There is no picture ${number} here: add it again.`, offset: at });
      }
    }
  }
  if (faults.length) return { faults };
  const utterances = turns.map((turn, id) => ({ id, speaker: turn.speaker, content: content(turn.text, pictures) }));
  return { dialogue: { utterances }, query: null, title: null };
}

function content(text, pictures) {
  const pieces = text.split(PICTURE); // text, number, text, number, …, text
  if (pieces.length === 1) return text;
  return pieces
    .map((piece, place) =>
      place % 2
        ? { type: "image_url", image_url: { url: pictures[piece - 1] } }
        : { type: "text", text: piece.trim() },
    )
    .filter((part) => part.type !== "text" || part.text);
}

function isRecord(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}
