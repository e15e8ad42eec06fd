// The API call behind a result, for a shell.

import { currentKey } from "./keys.js";

const LONG_DATA = 60;

/**
 * Writes a call as a `curl` command. The body goes in by a quoted here-document: it is one line, so
 * nothing in it can end the document or be read by the shell. The key stays out: `$COLLOQUY_KEY`.
 */
export function curlOf(path, body) {
  const lines = [
    `curl -sS ${new URL(path, document.baseURI)} \\`,
    "  -H 'content-type: application/json' \\",
    ...(currentKey() ? ['  -H "authorization: Bearer $COLLOQUY_KEY" \\'] : []),
    "  --data-binary @- <<'JSON'",
    JSON.stringify(body),
    "JSON",
  ];
  return `${lines.join("\n")}\n`;
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
