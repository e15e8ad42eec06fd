// Server-sent events from a fetch: EventSource could not send the key.

/**
 * Reads a `text/event-stream`.
 * @param {Response} response
 * @yields {{event: string, data: string}} as the gateway sent them; comments are left out
 */
export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = "";
  let data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return; // an event that was not ended by an empty line never happened
      // A CR at the end of what came so far may be half of a CRLF.
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line) {
          const [, name, text] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
          if (name === "event") event = text ?? "";
          else if (name === "data") data.push(text ?? "");
        } else {
          if (data.length) yield { event: event || "message", data: data.join("\n") };
          event = "";
          data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // the stream may have broken; nobody reads on
  }
}
