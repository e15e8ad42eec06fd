// Asks for a key when the gateway wants one; many requests that wait for it share one question.

import { byId } from "./dom.js";
import { currentKey, keepKey } from "./keys.js";

const SECOND_TIME = "The gateway does not know that key. Paste another: the token that “colloquy up” printed, or an API key.";

export class KeyDialog {
  constructor() {
    this.dialog = byId("key-dialog");
    this.answer = null;
    this.settle = () => {};
    byId("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      keepKey(byId("key").value);
      this.close(true);
    });
    byId("key-cancel").addEventListener("click", () => this.close(false));
    this.dialog.addEventListener("close", () => this.close(false));
  }

  /** @returns {Promise<boolean>} true when a key was given */
  ask() {
    if (this.answer) return this.answer;
    if (currentKey()) byId("key-why").textContent = SECOND_TIME;
    byId("key").value = "";
    this.dialog.showModal();
    this.answer = new Promise((resolve) => (this.settle = resolve));
    return this.answer;
  }

  close(given) {
    this.answer = null;
    this.settle(given);
    if (this.dialog.open) this.dialog.close();
  }
}
