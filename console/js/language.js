// Which language a text is in, as far as fonts and line breaking need to know.

const KANA = /[\u3040-\u30ff]/;
const HANGUL = /[\uac00-\ud7af]/;
const HAN = /[\u3400-\u9fff]/;

/** A `lang` value for a text, or null when its script says nothing about it. */
export function languageOf(text) {
  if (KANA.test(text)) return "ja";
  if (HANGUL.test(text)) return "ko";
  return HAN.test(text) ? "zh-Hans" : null;
}

export function languageName(tag) {
  try {
    return new Intl.DisplayNames(["en"], { type: "language" }).of(tag.split("-")[0]);
  } catch {
    return tag;
  }
}

/** A full `lang` value for a sample's `zh` or `en`. */
export function fullTag(tag) {
  return tag === "zh" ? "zh-Hans" : tag;
}
