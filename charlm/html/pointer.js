// Attention over the person's earlier turns, which a reply copies from, as charlm/inference/pointer.py and
// charlm/chat/recall.py.
"use strict";

const POINTER_WIDTH = 64; // of a query, a key and a value
const BLOCK = 3 * POINTER_WIDTH; // key of the copy, key of the look, value
const MIN_PROBABILITY = 1e-30; // keeps logarithms finite
const MEAN_DECAY = 0.85; // of the weights in the mean of the positions behind one
const MAX_BEFORE_CHARS = 200; // of each turn before

const pointerVectors = ({ layers, hidden }) => [layers * hidden, BLOCK + 2, 4 * BLOCK, POINTER_WIDTH];
const lastChars = (text, count) => [...text].slice(-count).join("");

class Pointer {
  constructor(model, tensors) {
    this.model = model;
    for (const name of ["query", "bias", "memory", "output"]) this[name] = tensors[`pointer.${name}`];
    const lengths = pointerVectors(model.config);
    [this.hidden, this.queries, this.products, this.looked] = lengths.map((length) => model.kernel.vector(length));
  }

  // result = W h, for h of all layers
  multiply(matrix, state, result) {
    state.forEach(({ h }, number) => this.hidden.set(h, number * h.length));
    this.model.kernel.add(matrix, this.hidden, result.fill(0));
    return result;
  }

  // Return the characters of the person's last turns, each as {id, parts}, where the parts are a block. A turn is read
  // once, a step of the model at a time.
  *recall(transcript, dialogue, vocabulary) {
    const turns = transcript.remembered(vocabulary);
    for (const turn of turns) turn.memory ??= yield* this.remember(transcript, turn, dialogue, vocabulary);
    return turns.flatMap((turn) => turn.memory);
  }

  // A turn is read after the exchange before it, at the beginning of a chat.
  *remember(transcript, turn, dialogue, vocabulary) {
    const place = transcript.turns.indexOf(turn), exchange = place < 2 ? [] : transcript.turns.slice(place - 2, place);
    const text = (one) => lastChars(transcript.textOf(one, vocabulary), MAX_BEFORE_CHARS) + dialogue.closing;
    const said = exchange.map((one) => dialogue.opening(one.name) + text(one)).join("");
    const lead = dialogue.beginning + said + dialogue.opening(turn.name);
    const ids = vocabulary.encode(lastChars(transcript.textOf(turn, vocabulary), MAX_REMEMBERED_CHARS));
    const read = [...vocabulary.encode(lead), ...ids], products = []; // before each of the ids and after the last
    let { state } = this.model.start();
    for (let at = 0; at <= read.length; at++) {
      if (at >= read.length - ids.length) products.push(this.multiply(this.memory, state, this.products).slice());
      if (at < read.length) ({ state } = this.model.step(state, read[at]));
      yield;
    }
    const characters = ids.map((id) => ({ id, parts: new Float32Array(BLOCK) }));
    const mean = new Float32Array(BLOCK), last = products.at(-1);
    for (let at = ids.length - 1; at >= 0; at--) {
      const here = products[at], after = products[at + 1], { parts } = characters[at];
      for (let k = 0; k < BLOCK; k++) {
        mean[k] = MEAN_DECAY * mean[k] + (1 - MEAN_DECAY) * after[2 * BLOCK + k];
        parts[k] = here[k] + after[BLOCK + k] + mean[k] + last[3 * BLOCK + k];
      }
    }
    return characters;
  }

  // log p of the next id, with copies of the characters, and the share of copies in p; `weight` is the factor of their
  // odds.
  mix(characters, weight, { state, logits }) {
    const { queries, looked, bias, model } = this;
    this.multiply(this.query, state, queries);
    for (let k = 0; k < bias.length; k++) queries[2 * POINTER_WIDTH + k] += bias[k]; // hidden layer and sentinels
    const copy = this.attend(characters, 0, queries[BLOCK] - Math.log(weight));
    const look = this.attend(characters, POINTER_WIDTH, queries[BLOCK + 1]);
    looked.set(queries.subarray(2 * POINTER_WIDTH, BLOCK));
    characters.forEach(({ parts }, at) => {
      for (let k = 0; k < POINTER_WIDTH; k++) looked[k] += look[at + 1] * parts[2 * POINTER_WIDTH + k];
    });
    for (let k = 0; k < POINTER_WIDTH; k++) looked[k] = Math.max(0, looked[k]);
    model.logits.set(logits);
    model.kernel.add(this.output, looked, model.logits);
    const p = logSoftmax(model.logits).map((logP) => copy[0] * Math.exp(logP));
    const copies = new Float32Array(p.length);
    characters.forEach(({ id }, at) => (copies[id] += copy[at + 1]));
    const mixed = p.map((value, id) => Math.max(value + copies[id], MIN_PROBABILITY));
    return { logits: mixed.map(Math.log), copied: copies.map((value, id) => value / mixed[id]) };
  }

  // The softmax of the sentinel's score and those of the keys, which begin in the parts where their query does.
  attend(characters, first, sentinel) {
    const score = ({ parts }) => {
      let sum = 0;
      for (let k = first; k < first + POINTER_WIDTH; k++) sum += this.queries[k] * parts[k];
      return sum;
    };
    return logSoftmax([sentinel, ...characters.map(score)]).map(Math.exp);
  }
}
