// A picture, large; left and right lead to the others of the dialogue.

import { picturesOf } from "./conversation.js";
import { byId } from "./dom.js";

export class Lightbox {
  constructor() {
    this.dialog = byId("lightbox");
    this.pictures = [];
    this.at = 0;
    byId("lightbox-close").addEventListener("click", () => this.dialog.close());
    byId("lightbox-previous").addEventListener("click", () => this.step(-1));
    byId("lightbox-next").addEventListener("click", () => this.step(1));
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") this.step(-1);
      if (event.key === "ArrowRight") this.step(1);
    });
  }

  /** @param {Array<{url: string, caption: string}>} pictures those that can be shown */
  open(pictures, at) {
    this.pictures = pictures;
    this.at = at;
    this.show();
    this.dialog.showModal();
  }

  /** Those of a conversation that can be shown, from one of them on. */
  openFrom(conversation, dialogue, imageId) {
    const shown = picturesOf(dialogue)
      .map(({ turnId, speaker }, id) => ({ id, url: conversation.urls[id], caption: `Picture ${id} · turn ${turnId} · ${speaker}` }))
      .filter(({ url }) => url);
    this.open(shown, shown.findIndex(({ id }) => id === imageId));
  }

  step(by) {
    const next = this.at + by;
    if (next < 0 || next >= this.pictures.length) return;
    this.at = next;
    this.show();
  }

  show() {
    const { url, caption } = this.pictures[this.at];
    byId("lightbox-image").src = url;
    byId("lightbox-image").alt = caption;
    byId("lightbox-caption").textContent = caption;
    byId("lightbox-previous").disabled = this.at === 0;
    byId("lightbox-next").disabled = this.at === this.pictures.length - 1;
  }
}
