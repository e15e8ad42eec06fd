// One question to the gateway at a time: running, waiting for an engine, done, failed or cancelled.

import { Problem } from "./api.js";

const TICK_MS = 200;
const MOST_ATTEMPTS = 200;
const PASSING = new Set([429, 503]); // with a Retry-After

/**
 * @typedef {{kind: "running", elapsedMs: number}
 *   | {kind: "waiting", problem: Problem, secondsLeft: number}
 *   | {kind: "done", answer: object, tookMs: number}
 *   | {kind: "failed", problem: Problem}
 *   | {kind: "cancelled"}} RunState
 */
export class Run {
  /** @param {(state: RunState) => void} show called at every change, and while time passes */
  constructor(show) {
    this.show = show;
    this.controller = null;
    this.skipWait = () => {};
  }

  get busy() {
    return this.controller !== null;
  }

  /** Cancels what runs; quietly when nobody needs to be told, as something else comes next. */
  cancel({ quietly = false } = {}) {
    if (!this.controller) return;
    this.controller.quiet = quietly;
    this.controller.abort();
    this.controller = null;
  }

  /** Does not wait out the pause before the next attempt. */
  hurry() {
    this.skipWait();
  }

  /** Asks, and asks again as long as the gateway says when to. */
  async start(ask) {
    this.cancel({ quietly: true });
    const controller = new AbortController();
    this.controller = controller;
    const tell = (state) => {
      if (this.controller === controller) this.show(state);
    };
    try {
      const done = await this.attempts(ask, controller.signal, tell);
      tell(done);
    } catch (error) {
      if (!controller.signal.aborted) tell({ kind: "failed", problem: asProblem(error) });
      else if (!controller.quiet) this.show({ kind: "cancelled" });
    } finally {
      if (this.controller === controller) this.controller = null;
    }
  }

  async attempts(ask, signal, tell) {
    let refusal = null; // why the attempt before this one had to wait
    for (let attempt = 1; ; attempt += 1) {
      const began = performance.now();
      const tick = () =>
        tell(
          refusal
            ? { kind: "waiting", problem: refusal, secondsLeft: 0 }
            : { kind: "running", elapsedMs: performance.now() - began },
        );
      const timer = setInterval(tick, TICK_MS);
      tick();
      try {
        const answer = await ask(signal);
        return { kind: "done", answer, tookMs: performance.now() - began };
      } catch (error) {
        const mayRetry = error instanceof Problem && PASSING.has(error.status) && error.retryAfterS !== null;
        if (!mayRetry || attempt === MOST_ATTEMPTS) throw error;
        clearInterval(timer);
        refusal = error;
        await this.pause(error, signal, tell);
      } finally {
        clearInterval(timer);
      }
    }
  }

  async pause(problem, signal, tell) {
    const until = performance.now() + 1000 * Math.max(1, problem.retryAfterS);
    let hurried = false;
    this.skipWait = () => (hurried = true);
    while (!hurried && performance.now() < until) {
      tell({ kind: "waiting", problem, secondsLeft: Math.ceil((until - performance.now()) / 1000) });
      await sleep(TICK_MS, signal);
    }
    this.skipWait = () => {};
  }
}

/** Waits; rejects as soon as the signal is aborted. */
export function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}

/** Whatever was thrown, as something that can be shown. */
export function asProblem(error) {
  if (error instanceof Problem) return error;
  return new Problem({ slug: "page", title: "This page has a fault", detail: String(error.message ?? error) });
}
