// Pictures by reference: fetched once with the key, kept as object URLs.

import { icon, make } from "./dom.js";

const SHOWABLE = /^data:image\/(?:png|jpeg|webp|gif|bmp)[;,]/i;
const MOST_KEPT = 400;
const THUMB_WIDTH = 256; // twice what is shown, for dense screens

export class Pictures {
  constructor(api) {
    this.api = api;
    this.kept = new Map();
    this.coming = new IntersectionObserver((entries) => this.showSeen(entries), { rootMargin: "300px" });
  }

  /** @returns {Promise<string>} an address that an `img` can show */
  load(reference, width = null) {
    const name = `${reference} ${width}`;
    let loading = this.kept.get(name);
    if (!loading) {
      loading = this.api.picture(reference, width);
      this.kept.set(name, loading);
      loading.catch(() => this.kept.delete(name)); // the next one may try again
      this.forgetOldest();
    }
    return loading;
  }

  /** The whole picture behind any address of the API; null where there is none to show. */
  async whole(url) {
    if (SHOWABLE.test(url)) return url;
    return url.startsWith("blob:") ? this.load(url).catch(() => null) : null;
  }

  forgetOldest() {
    if (this.kept.size <= MOST_KEPT) return;
    const [name, loading] = this.kept.entries().next().value;
    this.kept.delete(name);
    loading.then((url) => URL.revokeObjectURL(url), () => {});
  }

  /** A small picture. Its place is there at once; what is far from sight is fetched when it nears. */
  thumb(url, name = "span.thumb") {
    const frame = make(name, {}, icon("picture"));
    frame.show = () => {
      if (SHOWABLE.test(url)) fill(frame, url);
      else if (url.startsWith("blob:")) this.load(url, THUMB_WIDTH).then((source) => fill(frame, source), () => {});
    };
    this.coming.observe(frame);
    return frame;
  }

  showSeen(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.coming.unobserve(target);
      target.show();
    }
  }
}

function fill(frame, source) {
  const image = make("img", { alt: "", decoding: "async", src: source });
  image.addEventListener("error", () => frame.replaceChildren(icon("picture")));
  frame.replaceChildren(image);
}
