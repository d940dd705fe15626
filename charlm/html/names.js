// A bias towards names that the person has mentioned, as charlm/inference/name_bias.py: a small network misspells a name
// that it has not seen in training, so each character that goes on with one gains some nats.
"use strict";

const NAME = /(?<=[^\s.!?\u2026] )(?![a-z])\p{L}\p{L}{2,}/gu; // a capital inside a sentence
const FIRST_SHARE = 0.5; // of the gain, for the first character of a name
const END = -1; // a key of the prefix tree where a name can end

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
      node.set(END, new Map());
    }
    this.begun = [this.tree];
  }

  // Read an id that follows. The bias ends once the text has one of the names.
  advance(id) {
    const isLetter = this.isLetter[id] ?? false;
    this.hasName ||= !isLetter && this.begun.some((node) => node.has(END));
    this.begun = this.begun.filter((node) => node.has(id)).map((node) => node.get(id));
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
      for (const id of node.keys()) if (id !== END) mixed[id] = Math.max(mixed[id], logits[id] + gain);
    }
    return mixed;
  }
}
