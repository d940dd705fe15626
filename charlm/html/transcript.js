// What the model has read, and the writing of more. Text, colours, alternatives and undo are all views of it.
"use strict";

const SNAPSHOT_IDS = 32; // between two kept contexts; going back anywhere reads fewer ids than this again
const MAX_EMPTY_TRIES = 8; // a reply that ends before it begins is drawn again
const MIN_PARAGRAPH_PROBABILITY = 0.03; // of a blank line after a newline, if a model's text has paragraphs

class Transcript {
  constructor(model) {
    this.model = model;
    this.ids = [];
    this.bits = []; // surprisal of each id
    this.turns = []; // {author: "you" or "model", name, first, last}; `last` is after the last shown id
    this.context = model.start();
    this.snapshots = []; // the context before every SNAPSHOT_IDS ids
  }

  read(ids) {
    for (const id of ids) {
      if (this.ids.length % SNAPSHOT_IDS === 0) this.snapshots.push(this.context);
      this.bits.push(-logSoftmax(this.context.logits)[id] / Math.LN2);
      this.context = this.model.step(this.context.state, id);
      this.ids.push(id);
    }
  }

  // The context before the id at an index, or after the last one.
  contextAt(index) {
    if (index === this.ids.length) return this.context;
    const near = Math.floor(index / SNAPSHOT_IDS);
    let context = this.snapshots[near];
    for (const id of this.ids.slice(near * SNAPSHOT_IDS, index)) context = this.model.step(context.state, id);
    return context;
  }

  // A copy of the first ids. A turn of the model's that begins at the cut stays, to be written again.
  cut(index) {
    const copy = new Transcript(this.model);
    copy.ids = this.ids.slice(0, index);
    copy.bits = this.bits.slice(0, index);
    copy.context = this.contextAt(index);
    copy.snapshots = this.snapshots.slice(0, Math.ceil(index / SNAPSHOT_IDS));
    copy.turns = this.turns
      .filter(({ first, author }) => first < index || (first === index && author === "model"))
      .map((turn) => ({ ...turn, last: Math.min(turn.last, index) }));
    return copy;
  }

  // Drop what follows an index.
  truncate(index) {
    if (index < this.ids.length) Object.assign(this, this.cut(index));
  }

  // Read the end of the last turn and the beginning of the next, and return that turn.
  beginTurn(author, name, dialogue, vocabulary) {
    if (dialogue.hasTurns && !this.ids.length) this.read(vocabulary.encode(dialogue.beginning));
    const closing = this.turns.length ? dialogue.closing : "";
    this.read(vocabulary.encode(closing + dialogue.opening(name)));
    const turn = { author, name, first: this.ids.length, last: this.ids.length };
    this.turns.push(turn);
    return turn;
  }

  // Add a turn that a person wrote. A plain text that begins with nothing begins with a paragraph.
  say(text, name, dialogue, vocabulary) {
    const isStart = !this.ids.length && !dialogue.hasTurns;
    if (text) {
      const turn = this.beginTurn("you", name, dialogue, vocabulary);
      this.read(vocabulary.encode(text));
      turn.last = this.ids.length;
    } else if (isStart) {
      const newline = vocabulary.encode("\n");
      this.read(newline);
      if (Math.exp(logSoftmax(this.context.logits)[newline[0]]) > MIN_PARAGRAPH_PROBABILITY) this.read(newline);
    }
  }
}

// Writes one turn of the model's, an id a step, as charlm/inference/generate.py. `dials` may change at any time.
class Writer {
  constructor(transcript, turn, { dialogue, vocabulary, dials, random }) {
    Object.assign(this, { transcript, turn, vocabulary, dials, random });
    this.closing = dialogue.closing;
    // A stop string may have begun before: the end of a speaker's line and one newline are the end of a speech.
    this.text = dialogue.opening(turn.name) + vocabulary.decode(transcript.ids.slice(turn.first));
    this.kept = this.text.length;
    this.decoder = new Decoder(vocabulary);
    this.tries = 0;
    this.chars = 0;
    this.reason = ""; // why it ended: "stop", "length" or "cancelled"
  }

  // Draw and read one id; return whether the turn goes on.
  step() {
    const { transcript, turn, closing } = this;
    if (this.chars >= this.dials.length) return this.end("length");
    const id = draw(transcript.context.logits, this.dials, this.random.next());
    transcript.read([id]);
    const piece = this.decoder.push(id);
    this.text += piece;
    this.chars += [...piece].length;
    if (closing && this.text.endsWith(closing)) return this.stop();
    if (piece && !(closing.length > 1 && piece.endsWith("\n"))) turn.last = transcript.ids.length; // else held back
    return true;
  }

  stop() {
    const { transcript, turn } = this;
    transcript.truncate(Math.max(turn.first, transcript.ids.length - this.closing.length));
    this.turn = transcript.turns.at(-1);
    if (this.turn.last > this.turn.first || ++this.tries >= MAX_EMPTY_TRIES) return this.end("stop");
    this.text = this.text.slice(0, this.kept);
    this.chars = 0;
    return true;
  }

  // Forget an incomplete character and what was held back of a stop string, so that text and state agree.
  end(reason) {
    this.reason = reason;
    this.transcript.truncate(this.turn.last);
    return false;
  }
}
