// Reads JSON and remembers where everything stood, so that a fault can name its line.

const BLANK = /[ \t\r\n]*/y;
const SCALAR = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y;
const DEEPEST = 200;

/** JSON that cannot be read; `offset` is where. */
export class JsonFault extends Error {
  constructor(why, offset) {
    super(why);
    this.offset = offset;
  }
}

/**
 * Parses JSON.
 * @param {string} text
 * @returns {{value: unknown, places: Map<string, number>}} places: path (`utterances/3/speaker`) → offset
 * @throws {JsonFault}
 */
export function parseJson(text) {
  const reader = new Reader(text);
  const value = reader.value("", 0);
  reader.blank();
  if (reader.at < text.length) reader.fail("there is more after the end of the JSON");
  return { value, places: reader.places };
}

/** Line and column, from 1. */
export function lineOf(text, offset) {
  const before = text.slice(0, offset);
  return { line: before.split("\n").length, column: offset - before.lastIndexOf("\n") };
}

class Reader {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.places = new Map();
  }

  fail(why, offset = this.at) {
    throw new JsonFault(this.at >= this.text.length ? `${why}; the text ends too early` : why, offset);
  }

  blank() {
    BLANK.lastIndex = this.at;
    BLANK.exec(this.text);
    this.at = BLANK.lastIndex;
  }

  take(character) {
    this.blank();
    if (this.text[this.at] !== character) return false;
    this.at += 1;
    return true;
  }

  value(path, depth) {
    this.blank();
    if (depth > DEEPEST) this.fail("this is nested too deeply");
    this.places.set(path, this.at);
    const first = this.text[this.at];
    if (first === "{") return this.object(path, depth);
    if (first === "[") return this.array(path, depth);
    if (first === '"') return this.string();
    SCALAR.lastIndex = this.at;
    const scalar = SCALAR.exec(this.text);
    if (!scalar) this.fail("a value is expected here");
    this.at = SCALAR.lastIndex;
    return JSON.parse(scalar[0]);
  }

  object(path, depth) {
    const found = {};
    this.at += 1;
    if (this.take("}")) return found;
    do {
      this.blank();
      if (this.text[this.at] !== '"') this.fail('a field name in "quotes" is expected here');
      const name = this.string();
      if (!this.take(":")) this.fail(`a colon is missing after "${name}"`);
      const inner = this.value(path ? `${path}/${name}` : name, depth + 1);
      Object.defineProperty(found, name, { value: inner, enumerable: true, configurable: true, writable: true });
    } while (this.take(","));
    if (!this.take("}")) this.fail("a comma or } is missing here");
    return found;
  }

  array(path, depth) {
    const found = [];
    this.at += 1;
    if (this.take("]")) return found;
    do {
      found.push(this.value(path ? `${path}/${found.length}` : String(found.length), depth + 1));
    } while (this.take(","));
    if (!this.take("]")) this.fail("a comma or ] is missing here");
    return found;
  }

  string() {
    const start = this.at;
    let end = start;
    do {
      end = this.text.indexOf('"', end + 1);
      if (end < 0) this.fail("this text has no closing quote", start);
    } while (this.escaped(end));
    this.at = end + 1;
    try {
      return JSON.parse(this.text.slice(start, end + 1));
    } catch {
      return this.fail("this text has a line break or a wrong escape in it, or lacks its closing quote", start);
    }
  }

  escaped(offset) {
    let slashes = 0;
    while (this.text[offset - 1 - slashes] === "\\") slashes += 1;
    return slashes % 2 === 1;
  }
}
