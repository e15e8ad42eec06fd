// The gateway as this page sees it: JSON in, JSON out, every failure a Problem.

import { currentKey } from "./keys.js";
import { eventsOf } from "./sse.js";
import { sendWithProgress } from "./upload.js";

const PAGE = 100;

/** What went wrong, in the words of problem+json where the gateway said it. */
export class Problem extends Error {
  constructor({ status = 0, slug = "", title, detail = "", faults = [], requestId = "", retryAfterS = null }) {
    super(title);
    Object.assign(this, { status, slug, title, detail, faults, requestId, retryAfterS });
  }
}

export class Api {
  /** @param {() => Promise<boolean>} askForKey resolves to true when the user gave a key */
  constructor(askForKey) {
    this.askForKey = askForKey;
  }

  search(dialogue, query, signal) {
    return this.post("v1/fragments/search", { query, dialogue }, signal);
  }

  split(dialogue, signal) {
    return this.post("v1/fragments/split", { dialogue }, signal);
  }

  /** In a collection; the body is a whole `FragmentSearchRequest`. */
  searchCollection(body, signal) {
    return this.post("v1/fragments/search", body, signal);
  }

  /** @returns {Promise<{collections: object[], next: string|null}>} */
  collections(cursor = null) {
    return this.get(`v1/collections?${parameters({ limit: PAGE, cursor })}`);
  }

  collection(name) {
    return this.get(collectionPath(name));
  }

  async createCollection(name, spec) {
    const headers = { "content-type": "application/json" };
    return read(await this.send(collectionPath(name), { method: "PUT", headers, body: JSON.stringify(spec) }));
  }

  async dropCollection(name) {
    return read(await this.send(collectionPath(name), { method: "DELETE" }));
  }

  /** @returns {Promise<{dialogues: object[], next: string|null}>} */
  dialogues(name, limit, cursor = null, signal) {
    return this.get(`${collectionPath(name)}/dialogues?${parameters({ limit, cursor })}`, signal);
  }

  async dialogue(name, id, signal) {
    return this.get(dialoguePath(name, id), signal);
  }

  async deleteDialogue(name, id) {
    return read(await this.send(dialoguePath(name, id), { method: "DELETE" }));
  }

  /** Sends a file as it is. `told` hears the share that is sent, from 0 to 1. */
  async ingest(name, file, { type, key, told, signal }) {
    const headers = { "content-type": type, ...(key ? { "idempotency-key": key } : {}) };
    const transport = (path, options) => sendWithProgress(path, options, told);
    const path = `${collectionPath(name)}/dialogues`;
    return read(await this.send(path, { method: "POST", headers, body: file, signal, transport }));
  }

  jobs(collection, signal) {
    return this.get(`v1/jobs?${parameters({ collection })}`, signal);
  }

  job(id, signal) {
    return this.get(jobPath(id), signal);
  }

  async cancelJob(id) {
    return read(await this.send(jobPath(id), { method: "DELETE" }));
  }

  /** The events of a job as they come; ends when the gateway ends the stream. */
  async *jobEvents(id, signal) {
    const headers = { accept: "text/event-stream" };
    const response = await this.send(`${jobPath(id)}/events`, { headers, signal });
    if (!response.ok) throw await problemOf(response);
    yield* eventsOf(response);
  }

  async post(path, body, signal) {
    const response = await this.send(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    return read(response);
  }

  async get(path, signal) {
    return read(await this.send(path, { signal }));
  }

  /** A picture that was uploaded before, by its `blob:` reference; `width` is one the gateway makes. */
  async picture(reference, width = null) {
    const query = parameters({ w: width });
    const response = await this.send(`v1/images/${encodeURIComponent(reference)}${query && `?${query}`}`, {}, false);
    if (!response.ok) throw await problemOf(response);
    return URL.createObjectURL(await response.blob());
  }

  async send(path, { transport = fetch, ...options }, mayAsk = true) {
    const key = currentKey();
    const headers = { accept: "application/json", ...options.headers };
    if (key) headers.authorization = `Bearer ${key}`;
    let response;
    try {
      response = await transport(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({
        slug: "unreachable",
        title: "The gateway cannot be reached",
        detail: "Nothing answered. Is the stack up? `colloquy status` tells.",
      });
    }
    const wantsKey = response.status === 401 && mayAsk && !options.signal?.aborted;
    // Somebody may have given a key while this request was under way: try with it before asking.
    if (wantsKey && (currentKey() !== key || (await this.askForKey()))) {
      return this.send(path, { transport, ...options }, mayAsk);
    }
    return response;
  }
}

export function collectionPath(name) {
  return `v1/collections/${segment(name)}`;
}

export function dialoguePath(name, id) {
  return `${collectionPath(name)}/dialogues/${segment(id)}`;
}

function jobPath(id) {
  return `v1/jobs/${segment(id)}`;
}

/** One part of a path. `.` and `..` never are: a browser would walk up to what they do not name. */
function segment(name) {
  if (/^\.{1,2}$/.test(name)) {
    throw new Problem({ slug: "page", title: "This name cannot be in an address", detail: `\`${name}\` means another place.` });
  }
  return encodeURIComponent(name);
}

function parameters(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}

async function read(response) {
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      status: response.status,
      title: "The answer cannot be read",
      detail: "The gateway answered, but not with the JSON that was expected.",
      requestId: response.headers.get("x-request-id") ?? "",
    });
  }
}

export async function problemOf(response) {
  let body = {};
  if ((response.headers.get("content-type") ?? "").includes("json")) {
    body = await response.json().catch(() => ({}));
  }
  const retryAfter = Number.parseFloat(response.headers.get("retry-after"));
  return new Problem({
    status: response.status,
    slug: String(body.type ?? "").split(/[:/]/).pop(),
    title: body.title ?? `The gateway answered ${response.status}`,
    detail: body.detail ?? "",
    faults: Array.isArray(body.faults) ? body.faults : [],
    requestId: body.request_id ?? response.headers.get("x-request-id") ?? "",
    retryAfterS: Number.isFinite(retryAfter) ? retryAfter : null,
  });
}
