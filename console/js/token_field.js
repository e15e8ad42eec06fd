// A field that takes several values: Enter adds one, Backspace takes the last one away.

import { icon, make } from "./dom.js";

export class TokenField {
  /**
   * @param {HTMLElement} root with an `input` in it
   * @param {{changed: () => void, check?: (value: string) => string|null}} options
   *   `check` says why a value is none, or null
   */
  constructor(root, { changed, check = () => null }) {
    Object.assign(this, { root, changed, check });
    this.input = root.querySelector("input");
    this.list = make("ul.tokens");
    this.fault = make("p.field-fault", { role: "alert" });
    this.values = [];
    this.example = this.input.placeholder;
    root.querySelector(".token-box").prepend(this.list);
    root.append(this.fault);
    this.input.addEventListener("keydown", (event) => this.press(event));
    this.input.addEventListener("blur", () => this.commit());
    this.input.addEventListener("input", () => (this.fault.textContent = ""));
  }

  press(event) {
    if (event.key === "Enter" && !event.isComposing && this.input.value.trim()) {
      event.preventDefault();
      this.commit();
    } else if (event.key === "Backspace" && !this.input.value && this.values.length) {
      this.remove(this.values.at(-1));
    }
  }

  /** Takes what is typed; false when it is no value. */
  commit() {
    const value = this.input.value.trim();
    if (!value) return true;
    const why = this.check(value);
    this.fault.textContent = why ?? "";
    if (why) return false;
    this.input.value = "";
    if (!this.values.includes(value)) this.set([...this.values, value]);
    return true;
  }

  remove(value) {
    this.set(this.values.filter((other) => other !== value));
    this.input.focus();
  }

  set(values) {
    this.values = values;
    this.input.placeholder = values.length ? "" : this.example;
    this.list.replaceChildren(...values.map((value) => this.token(value)));
    this.changed();
  }

  token(value) {
    return make(
      "li.token",
      {},
      make("bdi", {}, value),
      make("button.token-remove", { type: "button", "aria-label": `Remove ${value}`, on: { click: () => this.remove(value) } }, icon("close")),
    );
  }
}
