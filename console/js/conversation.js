// The dialogue on the page: turns left and right, pictures in them, and what is lit.

import { calmly, icon, make } from "./dom.js";
import { languageOf } from "./language.js";

const SHOWABLE = /^data:image\/(?:png|jpeg|webp|gif|bmp)[;,]/i;
const AVATAR_HUES = 6;
const TOPIC_HUES = 8;
const LONG = 300; // from here on the browser lays out only the turns in sight

/** The content of a turn as parts, whichever way it was written. */
export function partsOf(turn) {
  return typeof turn.content === "string" ? [{ type: "text", text: turn.content }] : turn.content;
}

export function textOf(turn) {
  return partsOf(turn)
    .filter((part) => part.type === "text")
    .map((part) => part.text)
    .join(" ")
    .trim();
}

/** Every picture of a dialogue in order: its position is its id in the API. */
export function picturesOf(dialogue) {
  return dialogue.utterances.flatMap((turn, turnId) =>
    partsOf(turn)
      .filter((part) => part.type === "image_url")
      .map((part) => ({ turnId, speaker: turn.speaker, url: part.image_url.url })),
  );
}

export class Conversation {
  /**
   * @param {HTMLElement} list the `ol` of turns
   * @param {HTMLElement} scroller what scrolls around it
   * @param {{load: (reference: string) => Promise<string>, open: (imageId: number) => void}} pictures
   * @param {string} prefix of the ids of turns: two conversations may be on one page
   */
  constructor(list, scroller, pictures, prefix = "turn-") {
    this.list = list;
    this.scroller = scroller;
    this.pictures = pictures;
    this.prefix = prefix;
    this.urls = [];
  }

  show(dialogue, language) {
    const speakers = [...new Set(dialogue.utterances.map((turn) => turn.speaker))];
    this.urls = [];
    this.list.lang = language ?? "";
    this.list.classList.toggle("turns-long", dialogue.utterances.length > LONG);
    this.clear();
    this.list.replaceChildren(
      ...dialogue.utterances.map((turn, id) => {
        const place = speakers.indexOf(turn.speaker);
        const goesOn = id > 0 && dialogue.utterances[id - 1].speaker === turn.speaker;
        return this.turn(turn, id, { hue: place % AVATAR_HUES, right: place === 1, goesOn, language });
      }),
    );
    this.scroller.scrollTop = 0;
  }

  turn(turn, id, { hue, right, goesOn, language }) {
    const said = make("div.said");
    if (!goesOn) said.append(nameLine(turn));
    let pictures = null;
    for (const part of partsOf(turn)) {
      if (part.type === "text") {
        pictures = null;
        if (part.text.trim()) said.append(bubble(part.text, language));
      } else {
        if (!pictures) said.append((pictures = make("div.pictures")));
        pictures.append(this.picture(part.image_url.url, id, turn.speaker));
      }
    }
    const row = make(
      "li.turn",
      { id: `${this.prefix}${id}`, tabindex: "-1" },
      make(`span.avatar.hue-${hue}`, { "aria-hidden": "true" }, goesOn ? "" : initials(turn.speaker)),
      said,
      make("span.number", { title: `Turn ${id}` }, make("span.visually-hidden", {}, "turn "), String(id)),
    );
    row.classList.toggle("turn-right", right);
    row.classList.toggle("turn-goes-on", goesOn);
    return row;
  }

  picture(url, turnId, speaker) {
    const imageId = this.urls.push(null) - 1;
    const label = `Picture ${imageId} in turn ${turnId}, from ${speaker}`;
    const frame = make("button.picture", {
      type: "button",
      "aria-label": `${label}: open`,
      data: { image: imageId },
      on: { click: () => this.urls[imageId] && this.pictures.open(imageId) },
    });
    const show = (source) => {
      const image = make("img", { alt: "", decoding: "async", src: source });
      image.addEventListener("error", () => miss("This picture cannot be shown"));
      this.urls[imageId] = source;
      frame.replaceChildren(image);
    };
    const miss = (why) => {
      this.urls[imageId] = null;
      frame.replaceChildren(make("span.picture-missing", {}, icon("picture"), why));
    };
    if (SHOWABLE.test(url)) show(url);
    else if (url.startsWith("blob:")) this.pictures.load(url).then(show, () => miss("An uploaded picture"));
    else miss(url.startsWith("https:") ? `At ${hostOf(url)}; not loaded here` : "Not a picture that can be shown");
    return frame;
  }

  row(id) {
    return this.list.children[id];
  }

  clear() {
    this.list.classList.remove("has-lit");
    for (const row of this.list.querySelectorAll(".lit, .faulty, [data-topic]")) {
      row.classList.remove("lit", "lit-first", "lit-last", "faulty", "topic-first", "topic-last");
      for (let hue = 0; hue < TOPIC_HUES; hue += 1) row.classList.remove(`topic-${hue}`);
      delete row.dataset.topic;
      row.removeAttribute("aria-current");
      row.querySelector(":scope > .topic-label")?.remove();
    }
    for (const ringed of this.list.querySelectorAll(".ringed")) ringed.classList.remove("ringed");
  }

  /** Lights a fragment in place and dims the rest. */
  light(turnIds, imageIds) {
    this.clear();
    const found = new Set(turnIds);
    this.list.classList.toggle("has-lit", found.size > 0 || imageIds.length > 0);
    for (const id of found) {
      const row = this.row(id);
      if (!row) continue;
      row.classList.add("lit");
      row.classList.toggle("lit-first", !found.has(id - 1));
      row.classList.toggle("lit-last", !found.has(id + 1));
      row.setAttribute("aria-current", "true");
    }
    for (const imageId of imageIds) {
      this.list.querySelector(`.picture[data-image="${Number(imageId)}"]`)?.classList.add("ringed");
    }
  }

  /** Colours every turn by its topic; a stretch begins with a label. */
  colour(topics) {
    this.clear();
    const topicOf = new Map(topics.flatMap((topic, place) => topic.map((id) => [id, place])));
    const seen = new Set();
    for (const [id, row] of [...this.list.children].entries()) {
      const topic = topicOf.get(id);
      if (topic === undefined) continue;
      row.dataset.topic = topic;
      row.classList.add(`topic-${topic % TOPIC_HUES}`);
      row.classList.toggle("topic-last", topicOf.get(id + 1) !== topic);
      if (topicOf.get(id - 1) === topic) continue;
      const again = seen.has(topic) ? " again" : "";
      seen.add(topic);
      row.classList.add("topic-first");
      row.prepend(make("span.topic-label", {}, `Topic ${topic + 1}${again}`));
    }
  }

  /** Marks turns that the gateway complained about. */
  blame(turnIds) {
    for (const id of turnIds) this.row(id)?.classList.add("faulty");
  }

  jump(id, { focus = true, block = "center" } = {}) {
    const row = this.row(id);
    if (!row) return;
    row.scrollIntoView({ block, behavior: calmly() ? "auto" : "smooth" });
    if (focus) row.focus({ preventScroll: true });
  }

  /** Brings the first stretch of a fragment into view: centred if it fits, from its top if not. */
  reveal(turnIds) {
    if (!turnIds.length) return;
    const ids = [...turnIds].sort((one, other) => one - other);
    let last = ids[0];
    while (ids.includes(last + 1)) last += 1;
    const first = this.row(ids[0]);
    const end = this.row(last);
    if (!first || !end) return;
    if (this.scroller.scrollHeight <= this.scroller.clientHeight) {
      return this.jump(ids[0], { focus: false }); // all in sight, or the page itself scrolls
    }
    const height = end.getBoundingClientRect().bottom - first.getBoundingClientRect().top;
    const offset = first.getBoundingClientRect().top - this.scroller.getBoundingClientRect().top;
    const room = this.scroller.clientHeight - height;
    const top = this.scroller.scrollTop + offset - Math.max(56, room / 2);
    this.scroller.scrollTo({ top, behavior: calmly() ? "auto" : "smooth" });
  }
}

function nameLine(turn) {
  const line = make("p.who", {}, make("bdi", { lang: languageOf(turn.speaker) }, turn.speaker));
  const time = turn.time ? new Date(turn.time) : null;
  if (time && !Number.isNaN(time.getTime())) {
    const words = time.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
    line.append(make("time", { datetime: turn.time }, words));
  }
  return line;
}

function bubble(text, language) {
  const own = languageOf(text) ?? "en";
  return make("p.bubble", { dir: "auto", lang: own === language ? null : own }, text);
}

function initials(name) {
  const words = name.trim().split(/[\s._-]+/u).filter(Boolean);
  const first = [...(words[0] ?? "?")];
  if (languageOf(name)) return first[0];
  const second = words.length > 1 ? [...words.at(-1)][0] : (/\d$/.test(name) && [...name].at(-1)) || "";
  return `${first[0]}${second}`.toUpperCase();
}

function hostOf(url) {
  return URL.canParse(url) ? new URL(url).host : "an address that cannot be read";
}
