// A bias towards names that the person has mentioned, as charlm/inference/name_bias.py: a small network misspells a name
// that it has not seen in training, so each character that goes on with one gains some nats.
"use strict";

// A capital inside a sentence; in Japanese katakana, and words before a copula or a suffix of names.
const NAME = new RegExp(
  "(?<=[^\\s.!?\\u2026] )(?![a-z])\\p{L}\\p{L}{2,}|[\\u30a1-\\u30fa\\u30fc]{2,}"
    + "|(?<![^\\s\\u306f\\u3001\\u3002\\uff01\\uff1f])"
    + "(?:[\\u4e00-\\u9fff][\\u3041-\\u306e\\u3070-\\u3096\\u4e00-\\u9fff]{0,5}?|[\\u3041-\\u306e\\u3070-\\u3096]{2,6}?)"
    + "(?=\u3067\u3059|\u3060\u3088|\u3068(?:\u3044|\u7533|\u547c)|\u3063\u3066|\u3061\u3083\u3093|\u304f\u3093|\u3055\u3093|\u306b\u4f4f\u3093)",
  "gu",
);
const FIRST_SHARE = 0.5; // of the gain, for the first character of a name
const END = -1; // a key of the prefix tree where a name can end, if no letter follows
const END_ANYWHERE = -2; // in a script without capitals, where words follow each other without spaces

const namesIn = (text) => [...new Set(text.match(NAME))];

class NameBias {
  constructor(names, gain, vocabulary) {
    Object.assign(this, { gain, tree: new Map(), hasName: false });
    this.isLetter = vocabulary.characters.map((character) => /\p{L}/u.test(character)); // undefined for bytes
    for (const name of names) {
      let node = this.tree;
      for (const id of vocabulary.encode(name)) {
        if (!node.has(id)) node.set(id, new Map());
        node = node.get(id);
      }
      const last = [...name].at(-1) ?? "";
      node.set(last.toUpperCase() !== last.toLowerCase() ? END : END_ANYWHERE, new Map());
    }
    this.begun = [this.tree];
  }

  // Read an id that follows. The bias ends once the text has one of the names.
  advance(id) {
    const isLetter = this.isLetter[id] ?? false;
    this.hasName ||= !isLetter && this.begun.some((node) => node.has(END));
    this.begun = this.begun.filter((node) => node.has(id)).map((node) => node.get(id));
    this.hasName ||= this.begun.some((node) => node.has(END_ANYWHERE));
    if (!isLetter && !this.hasName) this.begun.push(this.tree);
  }

  // The logits of the next id with the gains added.
  mix(logits) {
    if (!this.begun.some((node) => node.size)) return logits;
    const mixed = logits.slice();
    if (this.begun.some((node) => node.has(END))) {
      for (let id = 0; id < mixed.length; id++) if (!this.isLetter[id]) mixed[id] += this.gain;
    }
    for (const node of this.begun) {
      const gain = node === this.tree ? FIRST_SHARE * this.gain : this.gain;
      for (const id of node.keys()) if (id >= 0) mixed[id] = Math.max(mixed[id], logits[id] + gain);
    }
    return mixed;
  }
}
