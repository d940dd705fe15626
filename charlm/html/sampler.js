// From logits to the next id, as charlm/inference/sampling.py: the same seed draws as `charlm sample` does.
"use strict";

const MIN_TEMPERATURE = 0.01; // below it the likeliest id is taken

// log p of every id, in nats.
function logSoftmax(logits) {
  const shifted = Float64Array.from(logits), peak = shifted.reduce((a, b) => Math.max(a, b));
  let total = 0;
  for (const value of shifted) total += Math.exp(value - peak);
  const logTotal = peak + Math.log(total);
  return shifted.map((value) => value - logTotal);
}

// The likeliest ids with their probabilities.
function likeliest(logits, count) {
  const logP = logSoftmax(logits);
  const ids = [...logP.keys()].sort((a, b) => logP[b] - logP[a]).slice(0, count);
  return ids.map((id) => ({ id, p: Math.exp(logP[id]) }));
}

// Weights of the ids after temperature, top-p and min-p; they are proportional to probabilities.
function filteredWeights(logits, { temperature, topP, minP }) {
  const weights = Float64Array.from(logits), peak = weights.reduce((a, b) => Math.max(a, b));
  if (temperature < MIN_TEMPERATURE) {
    const best = weights.indexOf(peak);
    return weights.fill(0).fill(1, best, best + 1);
  }
  for (let id = 0; id < weights.length; id++) weights[id] = Math.exp((weights[id] - peak) / temperature);
  if (topP < 1) {
    const ascending = weights.slice().sort();
    const total = ascending.reduce((a, b) => a + b);
    let kept = 0;
    for (let sum = ascending[0]; sum <= (1 - topP) * total && kept < weights.length - 1; sum += ascending[++kept]);
    dropBelow(weights, ascending[kept]);
  }
  if (minP > 0) dropBelow(weights, minP); // the largest weight is 1
  return weights;
}

function dropBelow(weights, least) {
  for (let id = 0; id < weights.length; id++) if (weights[id] < least) weights[id] = 0;
}

// Invert the cumulative distribution at a random number in [0, 1).
function draw(logits, dials, uniform) {
  const weights = filteredWeights(logits, dials);
  const target = uniform * weights.reduce((a, b) => a + b);
  let sum = 0;
  for (let id = 0; id < weights.length; id++) if ((sum += weights[id]) > target) return id;
  return weights.findLastIndex((weight) => weight > 0); // a rounding error at the very end
}

const WORD = 0xffffffffn, LONG = (1n << 64n) - 1n, WIDE = (1n << 128n) - 1n;
const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

// NumPy's default random numbers, PCG64 (O'Neill 2014) seeded through `SeedSequence`.
class Random {
  constructor(seed) {
    const [high, low, incHigh, incLow] = seedWords(BigInt(seed));
    this.increment = ((((incHigh << 64n) | incLow) << 1n) | 1n) & WIDE;
    this.state = this.increment;
    this.state = (this.state + ((high << 64n) | low)) & WIDE;
    this.advance();
  }

  advance() {
    this.state = (this.state * MULTIPLIER + this.increment) & WIDE;
  }

  // A random number in [0, 1) with 53 bits.
  next() {
    this.advance();
    const mixed = (this.state >> 64n) ^ (this.state & LONG), turn = this.state >> 122n;
    const bits = ((mixed >> turn) | (mixed << (64n - turn))) & LONG;
    return Number(bits >> 11n) / 2 ** 53;
  }
}

// Four 64-bit words from a seed: `numpy.random.SeedSequence(seed).generate_state(4, uint64)`.
function seedWords(seed) {
  const entropy = [];
  do entropy.push(Number(seed & WORD)); while ((seed >>= 32n));
  const hash = (start, multiplier) => {
    let constant = start;
    return (value) => {
      value ^= constant;
      constant = Math.imul(constant, multiplier);
      value = Math.imul(value, constant);
      return value ^ (value >>> 16);
    };
  };
  const mix = (x, y) => {
    const mixed = Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y);
    return mixed ^ (mixed >>> 16);
  };
  const absorb = hash(0x43b0d7e5, 0x931e8875);
  const pool = [0, 1, 2, 3].map((index) => absorb(entropy[index] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mix(pool[to], absorb(pool[from]));
  }
  for (const word of entropy.slice(4)) for (let to = 0; to < 4; to++) pool[to] = mix(pool[to], absorb(word));
  const emit = hash(0x8b51f9dd, 0x58f38ded);
  const words = Array.from({ length: 8 }, (_, index) => BigInt(emit(pool[index % 4]) >>> 0));
  return [0, 2, 4, 6].map((index) => words[index] | (words[index + 1] << 32n));
}
