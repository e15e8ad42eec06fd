// Asks before something goes for good.

import { byId, make } from "./dom.js";

export class Confirm {
  constructor() {
    this.dialog = byId("confirm-dialog");
    this.field = byId("confirm-field");
    this.yes = byId("confirm-yes");
    this.settle = () => {};
    byId("confirm-form").addEventListener("submit", (event) => {
      event.preventDefault();
      if (!this.yes.disabled) this.close(true);
    });
    byId("confirm-no").addEventListener("click", () => this.close(false));
    this.dialog.addEventListener("close", () => this.close(false));
    this.field.addEventListener("input", () => this.check());
  }

  /**
   * @param {{title: string, words: (string|Node)[], yes: string, typed?: string}} question
   *   `typed` must be written out before it can be answered with yes
   * @returns {Promise<boolean>}
   */
  ask({ title, words, yes, typed = "" }) {
    this.settle(false);
    this.typed = typed;
    byId("confirm-title").textContent = title;
    byId("confirm-words").replaceChildren(...words);
    byId("confirm-typing").hidden = !typed;
    byId("confirm-label").replaceChildren("Type ", make("code", {}, typed), " to confirm");
    this.field.value = "";
    this.yes.textContent = yes;
    this.check();
    this.dialog.showModal();
    (typed ? this.field : byId("confirm-no")).focus();
    return new Promise((resolve) => (this.settle = resolve));
  }

  check() {
    this.yes.disabled = this.field.value !== this.typed;
  }

  close(answer) {
    this.settle(answer);
    this.settle = () => {};
    if (this.dialog.open) this.dialog.close();
  }
}
