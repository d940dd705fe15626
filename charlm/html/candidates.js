// The choice among several replies, as charlm/inference/matching.py and `rerank_mmi` of charlm/inference/search.py: the
// model's own score less how likely the reply is after any message, and the match of its words with the last turns.
"use strict";

const CONTEXT_TURNS = 2, PREVIOUS_WEIGHT = 0.5, PART_CHARS = 3;
const STATEMENT = 2, QUESTION = 3; // roles of a turn that a reply copies from, and of the turn before that reply
const MIN_COPIED = 0.5; // share of copies in a word that a reply has from an earlier turn
const COPY_WEIGHT = 0.4; // nats that a reply of nothing but copies gains
const SUPPORT_WEIGHT = 1, MIN_SUPPORT = 0.4; // nats of the cosine between a reply and the turn that it copies from
const REPEATED = 100; // nats that a reply loses if it was said before
// Words ("don't" is one), single characters of scripts without spaces, and signs.
const WORD_OR_SIGN =
  /[\u3040-\u30ff\u3400-\u9fff]|(?:(?![\u3040-\u30ff\u3400-\u9fff])[\p{L}\p{N}_])+(?:'[a-z]+)?|[^\p{L}\p{N}_\s]/gu;
// Words that may be a name or a value: of katakana, of Chinese characters, of letters.
const VALUE =
  /[\u30a1-\u30ff]{2,}|[\u3400-\u9fff]{2,}|(?:(?![\u3040-\u30ff\u3400-\u9fff])[\p{L}\p{Nl}\p{No}]){3,}/gu;

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});

function crc32(text) {
  let sum = -1;
  for (const byte of new TextEncoder().encode(text)) sum = CRC[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ -1) >>> 0;
}

const valuesOf = (text) => new Set((text.match(VALUE) ?? []).map((word) => word.toLowerCase()));
const without = (text, word) => text.replace(VALUE, (found) => (found.toLowerCase() === word ? "_" : found));

// Words and word pairs of a text, and parts of long words. Its role is STATEMENT, QUESTION or how many turns before the
// last one it is; that of a reply is 0.
function featuresOf(text, role = 0) {
  const words = text.toLowerCase().match(WORD_OR_SIGN) ?? [];
  const ofWords = words.flatMap((word) => {
    const marked = [...`<${word}>`], parts = marked.length - 2 > PART_CHARS ? marked.slice(2) : [];
    return [word, `#${word}`, ...parts.map((_, at) => `~${marked.slice(at, at + PART_CHARS).join("")}`)];
  });
  const pairs = ["", ...words].map((word, at) => `${word} ${words[at] ?? ""}`);
  return [...ofWords, ...pairs].map((feature) => role + feature);
}

class Matcher {
  // `shapes` are those of the tables, whose values are the end of `halves`.
  constructor(shapes, halves, hasStatements) {
    this.hasStatements = hasStatements;
    [[, [this.buckets, this.width]]] = shapes;
    const size = this.buckets * this.width, tables = halves.subarray(halves.length - shapes.length * size);
    const table = (first) => Float32Array.from(tables.subarray(first, first + size), fromHalf);
    [this.context, this.reply] = [table(0), table(size)];
  }

  // The unit vector of features with weights.
  vector(table, features) {
    const sum = new Float64Array(this.width);
    for (const [feature, weight] of features) {
      const first = (crc32(feature) % this.buckets) * this.width;
      for (let k = 0; k < this.width; k++) sum[k] += weight * table[first + k];
    }
    const norm = Math.hypot(...sum) || 1;
    return sum.map((value) => value / norm);
  }

  // The cosine between two texts in features of weight 1.
  cosine(context, reply) {
    const [one, other] = [[this.context, context], [this.reply, reply]].map(([table, features]) => (
      this.vector(table, features.map((feature) => [feature, 1]))
    ));
    return one.reduce((sum, value, k) => sum + value * other[k], 0);
  }

  // The cosine between a reply and the turn that it copies a word from, without that word; null if it copies none.
  // `copied` has the share of copies in each of its characters.
  support(reply, copied, turns, question) {
    if (!this.hasStatements) return null;
    const said = turns.map(valuesOf), asked = valuesOf(question), shares = new Map();
    for (const { 0: word, index } of reply.matchAll(VALUE)) {
      const share = copied.slice(index, index + word.length).reduce((sum, one) => sum + one, 0) / word.length;
      shares.set(word.toLowerCase(), share);
    }
    const longest = (one, other) => [...other].length - [...one].length || (one < other ? -1 : 1);
    for (const word of [...shares.keys()].sort(longest)) {
      const sources = turns.filter((_, number) => said[number].has(word));
      if (asked.has(word) || shares.get(word) < MIN_COPIED || !sources.length) continue;
      const claim = [...featuresOf(without(reply, word), STATEMENT), ...featuresOf(question, QUESTION)];
      return Math.max(...sources.map((one) => this.cosine(featuresOf(without(one, word), STATEMENT), claim)));
    }
    return null;
  }

  // The cosine between the last turns and each reply.
  similarity(turns, replies) {
    const weighted = turns.slice(-CONTEXT_TURNS).reverse().flatMap((turn, age) => (
      featuresOf(turn, age).map((feature) => [feature, PREVIOUS_WEIGHT ** age])
    ));
    const context = this.vector(this.context, weighted);
    return replies.map((reply) => {
      const vector = this.vector(this.reply, featuresOf(reply).map((feature) => [feature, 1]));
      return vector.reduce((sum, value, k) => sum + value * context[k], 0);
    });
  }
}

// Draw replies, a step of the model at a time, and return them with their scores, the best first.
function* drawCandidates(writer, matcher) {
  const { transcript, dialogue, vocabulary, dials, random, names, turn } = writer;
  const { model } = transcript, { closing } = dialogue, drawn = [];
  const textOf = (one) => transcript.textOf(one, vocabulary);
  const turns = transcript.turns.slice(0, -1).map(textOf), sources = transcript.remembered(vocabulary).map(textOf);
  let anywhere = model.start();
  for (const id of vocabulary.encode(dialogue.beginning + dialogue.opening(turn.name))) {
    anywhere = model.step(anywhere.state, id);
    yield;
  }
  while (drawn.length < dials.candidates) {
    const bias = new NameBias(names, dials.names, vocabulary), decoder = vocabulary.decoder();
    const ids = [], scores = [], shares = [];
    let text = "", context = transcript.context;
    for (; ids.length < dials.length && !text.endsWith(closing); yield) {
      const { logits, copied } = withCopies(writer, context), id = draw(bias.mix(logits), dials, random.next());
      // Names gain in the draw alone, copies in the score.
      scores.push(logSoftmax(logits)[id] + (copied ? COPY_WEIGHT * dials.recall * copied[id] : 0));
      context = model.step(context.state, id);
      bias.advance(id);
      ids.push(id);
      const piece = decoder.push(id);
      for (const _ of piece.split("")) shares.push(copied ? copied[id] : 0);
      text += piece;
    }
    const ending = text.endsWith(closing) ? closing.length : 0;
    text = text.slice(0, text.length - ending);
    const support = matcher.support(text, shares, sources, turns.at(-1) ?? "") ?? MIN_SUPPORT;
    drawn.push({ ids, text, support, scores: scores.slice(0, scores.length - ending) });
  }
  const similarity = matcher.similarity(turns, drawn.map(({ text }) => text));
  for (const [number, one] of drawn.entries()) {
    let context = anywhere;
    one.score = dials.matching * similarity[number] + SUPPORT_WEIGHT * (one.support - MIN_SUPPORT);
    one.score -= REPEATED * turns.includes(one.text);
    for (const [at, score] of one.scores.entries()) {
      one.score += (score - dials.relevance * logSoftmax(context.logits)[one.ids[at]]) / one.scores.length;
      context = model.step(context.state, one.ids[at]);
      yield;
    }
    if (!one.text.trim()) one.score = -Infinity;
  }
  return drawn.sort((one, other) => other.score - one.score);
}
