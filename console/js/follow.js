// A job, followed as it goes: by its events, and by asking where those end too early.

import { Problem } from "./api.js";
import { sleep } from "./run.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;
const HOPELESS = new Set([400, 401, 403, 404, 410]);

export function isOver({ state }) {
  return state === "done" || state === "cancelled" || state === "failed";
}

/**
 * Shows every step of a job until it is over.
 * @param {{signal: AbortSignal, live: boolean, show: (job: object) => void, lost: () => void}} options
 *   not `live`: only asks now and then; `lost` when the gateway does not answer for a while
 */
export async function followJob(api, id, { signal, live, show, lost }) {
  let pause = FIRST_PAUSE_MS;
  for (;;) {
    try {
      if (live) {
        for await (const { event, data } of api.jobEvents(id, signal)) {
          if (event !== "progress" && event !== "done") continue;
          const job = JSON.parse(data);
          pause = FIRST_PAUSE_MS;
          show(job);
          if (isOver(job)) return;
        }
      }
      const job = await api.job(id, signal);
      show(job);
      if (isOver(job)) return;
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && HOPELESS.has(error.status))) throw error;
      lost();
    }
    await sleep(pause, signal);
    pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
  }
}
