// The dot in the corner: is the stack ready, and if not, what is missing.

import { byId, make } from "./dom.js";

const CALM_MS = 5000;
const EAGER_MS = 1500;

export class Status {
  constructor() {
    this.timer = null;
    this.button = byId("status");
    this.detail = byId("status-detail");
    this.button.addEventListener("click", () => this.toggle(this.detail.hidden));
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.toggle(false));
    document.addEventListener("click", (event) => {
      if (!event.target.closest(".status")) this.toggle(false);
    });
    document.addEventListener("visibilitychange", () => !document.hidden && this.poll());
  }

  toggle(open) {
    this.detail.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
  }

  async poll() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    const { look, words, checks } = await ask();
    this.button.dataset.state = look;
    if (byId("status-text").textContent !== words) byId("status-text").textContent = words;
    this.detail.replaceChildren(
      checks.length
        ? make("ul.checks", {}, ...checks.map((check) => line(check)))
        : make("p", {}, look === "gone" ? "Nothing answers at this address." : "Everything answers."),
    );
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.poll(), look === "ready" ? CALM_MS : EAGER_MS);
  }
}

async function ask() {
  try {
    const response = await fetch("readyz", { cache: "no-store" });
    const body = await response.json().catch(() => ({}));
    const checks = Array.isArray(body.checks) ? body.checks : [];
    return response.ok
      ? { look: "ready", words: "Ready", checks }
      : { look: "starting", words: "Not ready yet", checks };
  } catch {
    return { look: "gone", words: "Not reachable", checks: [] };
  }
}

function line(check) {
  return make(
    "li.check",
    { data: { state: check.ready ? "ready" : "starting" } },
    make("span.dot", { "aria-hidden": "true" }),
    make("span", {}, String(check.name)),
    make("span.check-detail", {}, check.ready ? "ready" : String(check.detail ?? "not ready")),
  );
}
