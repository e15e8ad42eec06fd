// A file on its way: sent as it is, with how much is there already, and a key made of its content.

const SLICE = 16 * 1024 * 1024;
const HEAD = 64 * 1024;

export const NDJSON = "application/x-ndjson";

/** As `fetch`, for the one thing that fetch cannot tell: how much of the body is sent. */
export function sendWithProgress(path, { method, headers, body, signal }, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) told(event.loaded / event.total);
    });
    request.addEventListener("load", () => resolve(responseOf(request)));
    request.addEventListener("error", () => reject(new TypeError("nothing answered")));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    request.addEventListener("loadend", () => signal?.removeEventListener("abort", stop));
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) reject(new DOMException("cancelled", "AbortError"));
    else request.send(body);
  });
}

function responseOf(request) {
  const headers = new Headers();
  for (const name of ["content-type", "retry-after", "x-request-id"]) {
    const value = request.getResponseHeader(name);
    if (value !== null) headers.set(name, value);
  }
  return new Response(request.status === 204 ? null : request.responseText, { status: request.status, headers });
}

/** A list is JSON; a dialogue that ends with its line is NDJSON. Names are not to be trusted. */
export async function contentTypeOf(file) {
  const head = (await file.slice(0, HEAD).text()).replace(/^\ufeff/, "").trimStart();
  if (head.startsWith("[")) return "application/json";
  const end = head.indexOf("\n");
  if (end < 0) return head.startsWith("{") || /\.(ndjson|jsonl)$/i.test(file.name) ? NDJSON : "application/json";
  try {
    JSON.parse(head.slice(0, end));
    return NDJSON;
  } catch {
    return /\.json$/i.test(file.name) ? "application/json" : NDJSON;
  }
}

/**
 * Says which content this is, so that sending it twice is once. Read in slices: a file may be larger
 * than what one wants in memory. Null where the browser gives no digests (no secure context).
 */
export async function keyOf(file, salt) {
  if (!globalThis.crypto?.subtle) return null;
  const digests = [new TextEncoder().encode(`${salt}\n${file.size}\n`)];
  for (let at = 0; at < file.size; at += SLICE) {
    const slice = await file.slice(at, at + SLICE).arrayBuffer();
    digests.push(new Uint8Array(await crypto.subtle.digest("SHA-256", slice)));
  }
  const whole = await crypto.subtle.digest("SHA-256", await new Blob(digests).arrayBuffer());
  return [...new Uint8Array(whole)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
