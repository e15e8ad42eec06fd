// The API call behind a result, for a shell.

import { currentKey } from "./keys.js";

const LONG_DATA = 60;

/**
 * Writes a call as a `curl` command. The body goes in by a quoted here-document: it is one line, so
 * nothing in it can end the document or be read by the shell. The key stays out: `$COLLOQUY_KEY`.
 */
export function curlOf(path, body) {
  return command(path, ["-H 'content-type: application/json'"], [
    "--data-binary @- <<'JSON'",
    JSON.stringify(body),
    "JSON",
  ]);
}

/** A call without a body. */
export function curlOfGet(path) {
  return command(path, []);
}

/** A call that sends a file as it is. */
export function curlOfFile(path, type, name, key = null) {
  const headers = [`-H 'content-type: ${type}'`, ...(key ? [`-H 'idempotency-key: ${key}'`] : [])];
  return command(path, headers, [`--data-binary ${word(`@${name}`)}`]);
}

/** The call that makes a collection. */
export function curlOfPut(path, body) {
  return command(path, ["-X PUT", "-H 'content-type: application/json'"], [`-d ${word(JSON.stringify(body))}`]);
}

function command(path, options, [data, ...document_] = []) {
  const key = currentKey() ? ['-H "authorization: Bearer $COLLOQUY_KEY"'] : [];
  const parts = [`curl -sS ${word(String(new URL(path, document.baseURI)))}`, ...options, ...key, ...(data ? [data] : [])];
  return `${[parts.join(" \\\n  "), ...document_].join("\n")}\n`;
}

/** One word for a shell, quoted where that is needed. */
function word(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The same call to look at: pictures cut short, JSON indented. */
export function curlPreview(path, body) {
  const short = JSON.stringify(
    body,
    (_, value) =>
      typeof value === "string" && value.startsWith("data:") && value.length > LONG_DATA
        ? `${value.slice(0, 28)}… (${Math.ceil((value.length * 3) / 4096)} kB)`
        : value,
    2,
  );
  return curlOf(path, null).replace("null\nJSON", () => `${short}\nJSON`);
}
