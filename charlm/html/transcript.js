// What the model has read, and the writing of more. Text, colours, alternatives and undo are all views of it.
"use strict";

const CHOICES = 8; // alternatives at a place
const SNAPSHOT_IDS = 32; // between two kept contexts; going back anywhere reads fewer ids than this again
const MAX_EMPTY_TRIES = 8; // a reply that ends before it begins is drawn again
const MAX_REMEMBERED_CHARS = 4000; // of a person's turns: a reply costs the same after any number
const MIN_PARAGRAPH_PROBABILITY = 0.03; // of a blank line after a newline, if a model's text has paragraphs

class Transcript {
  constructor(model) {
    this.model = model;
    this.ids = [];
    this.bits = []; // surprisal of each id
    // {author: "you" or "model", name, first, last, memory}; `last` is after the last shown id, `memory` the pointer's
    this.turns = [];
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

  // The likeliest ids at an index, each with its probability.
  choicesAt(index) {
    return likeliest(this.contextAt(index).logits, CHOICES);
  }

  // The state after the id at an index; the gates of the model are those of that step.
  stateAfter(index) {
    return this.model.step(this.contextAt(index).state, this.ids[index]).state;
  }

  // A copy of the first ids. A turn of the model's that begins at the cut stays, to be written again.
  cut(index) {
    const copy = new this.constructor(this.model);
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

  textOf({ first, last }, vocabulary) {
    return vocabulary.decode(this.ids.slice(first, last));
  }

  // The person's last turns, the last first.
  remembered(vocabulary) {
    let chars = 0;
    return this.turns.toReversed().filter((turn) => {
      if (turn.author !== "you" || chars >= MAX_REMEMBERED_CHARS) return false;
      chars += [...this.textOf(turn, vocabulary)].length;
      return true;
    });
  }
}

// The logits of the next id of a reply, with copies of what is remembered, and the share of copies in each.
function withCopies({ transcript, memory, recall }, context) {
  return memory.length ? transcript.model.pointer.mix(memory, recall, context) : { logits: context.logits };
}

// Reads a person's words and writes one turn of the model's, an id a step, as charlm/inference/generate.py. `dials` may
// change at any time.
class Writer {
  // Without words the model goes on: in its own last turn if `turn` is that, else in a new one.
  constructor(transcript, { words = "", turn = null, you = "", bot = "", dialogue, vocabulary, dials, random }) {
    Object.assign(this, { transcript, bot, dialogue, vocabulary, dials, random });
    this.closing = dialogue.closing;
    this.decoder = vocabulary.decoder();
    this.isReady = true; // its next step need not wait
    this.tries = 0;
    this.chars = 0;
    this.reason = ""; // why it ended: "stop", "length" or "cancelled"
    const isStart = !transcript.ids.length && !dialogue.hasTurns;
    this.turn = words ? transcript.beginTurn("you", you, dialogue, vocabulary) : turn;
    this.unread = vocabulary.encode(words || (isStart ? "\n" : "")).reverse();
    this.isParagraph = !words && isStart;
    if (!this.unread.length) this.beginReply();
  }

  // Read or draw one id; return whether there is more to do.
  step() {
    if (this.unread.length) return this.readNext();
    if (this.preparation) return this.prepareNext();
    return this.chars < this.dials.length ? this.drawNext() : this.end("length");
  }

  readNext() {
    const { transcript, turn } = this, id = this.unread.pop();
    transcript.read([id]);
    if (turn) turn.last = transcript.ids.length;
    // A plain text that begins with nothing begins with a paragraph, if the model's text has any.
    const isLikely = Math.exp(logSoftmax(transcript.context.logits)[id]) > MIN_PARAGRAPH_PROBABILITY;
    if (this.isParagraph && isLikely) this.unread.push(id);
    this.isParagraph = false;
    if (!this.unread.length) this.beginReply();
    return true;
  }

  beginReply() {
    const { transcript, dialogue, vocabulary, dials } = this;
    if (this.turn?.author !== "model") this.turn = transcript.beginTurn("model", this.bot, dialogue, vocabulary);
    const shown = transcript.ids.slice(this.turn.first);
    // A stop string may have begun before: the end of a speaker's line and one newline are the end of a speech.
    this.text = dialogue.opening(this.turn.name) + vocabulary.decode(shown);
    this.kept = this.text.length;
    const yours = transcript.remembered(vocabulary).map((turn) => transcript.textOf(turn, vocabulary));
    this.names = dials.names ? yours.flatMap(namesIn) : [];
    this.bias = new NameBias(this.names, dials.names, vocabulary);
    this.memory = []; // what the reply can copy
    this.chosen = []; // ids of the reply to show, the next one last
    this.preparation = this.prepare(!shown.length); // null once it is done
  }

  // Recall the person's turns and choose among candidates, a step of the model at a time. A reply that goes on is not
  // chosen anew.
  *prepare(isNew) {
    const { transcript, dialogue, vocabulary, dials } = this, { pointer, matcher } = transcript.model;
    this.recall = pointer ? dials.recall : 0; // factor of the odds of a copy
    if (this.recall) this.memory = yield* pointer.recall(transcript, dialogue, vocabulary);
    if (matcher && dials.candidates > 1 && isNew) this.chosen = (yield* drawCandidates(this, matcher))[0].ids.reverse();
  }

  prepareNext() {
    if (this.preparation.next().done) this.preparation = null;
    return true;
  }

  drawNext() {
    const { transcript, turn, closing, dials, random } = this;
    const drawn = () => draw(this.bias.mix(withCopies(this, transcript.context).logits), dials, random.next());
    const id = this.chosen.pop() ?? drawn();
    transcript.read([id]);
    this.bias.advance(id);
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
    this.text = this.text.slice(0, Math.max(this.kept, this.text.length - this.closing.length));
    this.chars = this.text.length - this.kept;
    return this.chars || ++this.tries >= MAX_EMPTY_TRIES ? this.end("stop") : true;
  }

  // Forget an incomplete character and what was held back of a stop string, so that text and state agree.
  end(reason) {
    this.reason = reason;
    if (!this.unread.length) this.transcript.truncate(this.turn.last);
    return false;
  }
}
