// Pictures by reference: fetched once with the key, kept as object URLs.

import { icon, make } from "./dom.js";

const SHOWABLE = /^data:image\/(?:png|jpeg|webp|gif|bmp)[;,]/i;
const MOST_KEPT = 400;

export class Pictures {
  constructor(api) {
    this.api = api;
    this.kept = new Map();
  }

  /** @returns {Promise<string>} an address that an `img` can show */
  load(reference) {
    let loading = this.kept.get(reference);
    if (!loading) {
      loading = this.api.picture(reference);
      this.kept.set(reference, loading);
      loading.catch(() => this.kept.delete(reference)); // the next one may try again
      this.forgetOldest();
    }
    return loading;
  }

  forgetOldest() {
    if (this.kept.size <= MOST_KEPT) return;
    const [reference, loading] = this.kept.entries().next().value;
    this.kept.delete(reference);
    loading.then((url) => URL.revokeObjectURL(url), () => {});
  }

  /** A small picture. It takes its place at once, whatever it turns out to be. */
  thumb(url, name = "span.thumb") {
    const frame = make(name, {}, icon("picture"));
    const show = (source) => {
      const image = make("img", { alt: "", decoding: "async", src: source });
      image.addEventListener("error", () => frame.replaceChildren(icon("picture")));
      frame.replaceChildren(image);
      return source;
    };
    if (SHOWABLE.test(url)) frame.source = Promise.resolve(show(url));
    else if (url.startsWith("blob:")) frame.source = this.load(url).then(show, () => null);
    else frame.source = Promise.resolve(null);
    return frame;
  }
}
