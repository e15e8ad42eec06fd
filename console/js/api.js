// The gateway as this page sees it: JSON in, JSON out, every failure a Problem.

import { currentKey } from "./keys.js";

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

  async post(path, body, signal) {
    const response = await this.send(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    return read(response);
  }

  async get(path) {
    return read(await this.send(path, {}));
  }

  /** A picture that was uploaded before, by its `blob:` reference. */
  async picture(reference) {
    const response = await this.send(`v1/images/${encodeURIComponent(reference)}`, {}, false);
    if (!response.ok) throw await problemOf(response);
    return URL.createObjectURL(await response.blob());
  }

  async send(path, options, mayAsk = true) {
    const key = currentKey();
    const headers = { accept: "application/json", ...options.headers };
    if (key) headers.authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
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
    if (wantsKey && (currentKey() !== key || (await this.askForKey()))) return this.send(path, options, mayAsk);
    return response;
  }
}

async function read(response) {
  if (!response.ok) throw await problemOf(response);
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
