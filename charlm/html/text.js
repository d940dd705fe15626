// Characters and ids, as charlm/text/vocabulary.py, and the turns of a dialogue, as charlm/text/dialogue.py.
"use strict";

const SUBSTITUTES = ["?", " ", "\uff1f", "\u3000"]; // for unknown characters, the first that is known

class Vocabulary {
  constructor({ characters, bytes }) {
    this.characters = [...characters];
    this.hasBytes = bytes;
    this.idOf = new Map(this.characters.map((character, id) => [character, id]));
    this.substitute = SUBSTITUTES.find((one) => this.idOf.has(one)) ?? this.characters[0];
  }

  // Unknown characters are spelled as UTF-8 bytes, or else replaced.
  encode(text) {
    return [...text.toWellFormed()].flatMap((character) => {
      const id = this.idOf.get(character);
      if (id !== undefined) return [id];
      if (!this.hasBytes) return [this.idOf.get(this.substitute)];
      return [...new TextEncoder().encode(character)].map((byte) => this.characters.length + byte);
    });
  }

  replaceUnknown(text) {
    if (this.hasBytes) return text;
    return [...text].map((character) => (this.idOf.has(character) ? character : this.substitute)).join("");
  }

  label(id) {
    return this.characters[id] ?? `<${(id - this.characters.length).toString(16).padStart(2, "0")}>`;
  }

  decoder() {
    return new Decoder(this);
  }

  decode(ids) {
    const decoder = this.decoder();
    return ids.map((id) => decoder.push(id)).join("") + decoder.flush();
  }
}

// Ids to text, one at a time; it holds back the bytes of an incomplete character.
class Decoder {
  constructor(vocabulary) {
    this.characters = vocabulary.characters;
    this.bytes = new TextDecoder("utf-8", { ignoreBOM: true });
    this.hasBytes = false; // bytes may be held back
  }

  push(id) {
    if (id < this.characters.length) return this.flush() + this.characters[id];
    this.hasBytes = true;
    return this.bytes.decode(Uint8Array.of(id - this.characters.length), { stream: true });
  }

  flush() {
    const rest = this.hasBytes ? this.bytes.decode() : "";
    this.hasBytes = false;
    return rest;
  }
}

class Dialogue {
  constructor({ format, names, colon, beginning, closing }) {
    this.names = names;
    this.hasTurns = format !== "plain";
    this.hasNames = format === "transcript" || format === "play";
    this.beginning = beginning; // read before the first turn of a chat
    this.closing = closing; // between a turn and the next; it ends a reply
    this.afterName = colon + (format === "play" ? "\n" : colon === "\uff1a" ? "" : " ");
  }

  opening(name) {
    return this.hasNames ? name + this.afterName : "";
  }

  // A person's words as a turn: normalised, known to the model, without text that would end the turn.
  fit(text, vocabulary) {
    const once = (words) => vocabulary.replaceUnknown(this.fitFormat(vocabulary.replaceUnknown(words)));
    text = once(once(text.toWellFormed()));
    return this.closing ? text.replaceAll(this.closing, "") : text;
  }

  fitFormat(text) {
    text = text.replace(/^\ufeff+/, "").replace(/\r\n?/g, "\n").normalize("NFC");
    if (!this.hasTurns) return text;
    text = text.trim();
    return this.closing === "\n" ? text.replace(/\s*\n\s*/g, " ") : text.replace(/\s*\n\s*\n\s*/g, "\n");
  }
}

// Symbols for characters that would hide or reorder text on a screen, as charlm/text/sanitize.py.
const HAZARDS =
  /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\u{e0000}-\u{e007f}]/gu;

function visible(text) {
  return text.replace(HAZARDS, (character) => {
    const point = character.codePointAt(0);
    if (point < 0x20) return String.fromCharCode(0x2400 + point);
    return point === 0x7f ? "\u2421" : `<${point.toString(16).toUpperCase()}>`;
  });
}
