// The network, as in charlm/inference/tape.py and charlm/cells:
//
//     id -> embedding -> [cell -> norm -> + input] x L -> output -> logits
//
// A state is never changed in place: keeping a reference is a snapshot, and going back costs nothing.
"use strict";

const NORM_EPSILON = 1e-5;

// By Math.exp, which is faster than Math.tanh; exact at both ends, where exp is 0 or infinite.
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const tanh = (x) => 1 - 2 / (1 + Math.exp(2 * x));
const logSigmoid = (x) => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));

// One step of a layer, from its state to the next. `layer` has the pre-activations W_x x + b as one block of H numbers a
// gate, under the gate's name. They become the gates in place, where the view of the cells reads them.
const CELLS = {
  lstm(layer, { h, c }) {
    layer.add("w_h", h);
    return updateLSTM(layer, c);
  },

  // Gates also read the cell of their own unit, the output gate the new one.
  peephole(layer, { h, c }) {
    layer.add("w_h", h);
    const { i, f, o, g, p_i, p_f, p_o } = layer;
    const after = { h: new Float32Array(h.length), c: new Float32Array(h.length) };
    for (let u = 0; u < h.length; u++) {
      i[u] = sigmoid(i[u] + p_i[u] * c[u]);
      f[u] = sigmoid(f[u] + p_f[u] * c[u]);
      g[u] = tanh(g[u]);
      after.c[u] = f[u] * c[u] + i[u] * g[u];
      o[u] = sigmoid(o[u] + p_o[u] * after.c[u]);
      after.h[u] = o[u] * tanh(after.c[u]);
    }
    return after;
  },

  // As much is written as is forgotten.
  cifg(layer, { h, c }) {
    layer.add("w_h", h);
    const { f, o, g } = layer;
    const after = { h: new Float32Array(h.length), c: new Float32Array(h.length) };
    for (let u = 0; u < h.length; u++) {
      f[u] = sigmoid(f[u]);
      o[u] = sigmoid(o[u]);
      g[u] = tanh(g[u]);
      after.c[u] = g[u] + f[u] * (c[u] - g[u]);
      after.h[u] = o[u] * tanh(after.c[u]);
    }
    return after;
  },

  // The character scales the recurrent input: m = (W_mx x + b_m) * (W_m h).
  multiplicative(layer, { h, c }) {
    const { m } = layer;
    const recurrent = layer.times("w_m", h);
    for (let u = 0; u < h.length; u++) m[u] *= recurrent[u];
    layer.add("w_h", m);
    return updateLSTM(layer, c);
  },

  // The reset gate acts after the recurrent product, which therefore has sums of its own.
  gru(layer, { h }) {
    const { r, z, n, b_h } = layer;
    const size = h.length, recurrent = layer.times("w_h", h);
    const after = { h: new Float32Array(size) };
    for (let u = 0; u < size; u++) {
      r[u] = sigmoid(r[u] + recurrent[u]);
      z[u] = sigmoid(z[u] + recurrent[size + u]);
      n[u] = tanh(n[u] + r[u] * (recurrent[2 * size + u] + b_h[u]));
      after.h[u] = n[u] + z[u] * (h[u] - n[u]);
    }
    return after;
  },

  rnn(layer, { h }) {
    layer.add("w_h", h);
    return { h: layer.h.map(tanh) };
  },

  // An exponential input gate; n sums the gates, and m keeps the exponentials in range.
  slstm(layer, { h, c, n, m }) {
    layer.add("w_h", h);
    const { i, f, o, z } = layer, size = h.length;
    const after = { h: 0, c: 0, n: 0, m: 0 };
    for (const name in after) after[name] = new Float32Array(size);
    layer.v = new Float32Array(size);
    for (let u = 0; u < size; u++) {
      const logF = m[u] + logSigmoid(f[u]);
      const scale = (after.m[u] = n[u] > 0 ? Math.max(logF, i[u]) : i[u]);
      i[u] = Math.exp(i[u] - scale);
      f[u] = n[u] > 0 ? Math.exp(Math.min(logF - scale, 0)) : 0;
      o[u] = sigmoid(o[u]);
      z[u] = tanh(z[u]);
      after.c[u] = f[u] * c[u] + i[u] * z[u];
      after.n[u] = f[u] * n[u] + i[u];
      layer.v[u] = after.c[u] / after.n[u];
      after.h[u] = o[u] * layer.v[u];
    }
    return after;
  },
};

function updateLSTM({ i, f, o, g }, c) {
  const after = { h: new Float32Array(c.length), c: new Float32Array(c.length) };
  for (let u = 0; u < c.length; u++) {
    i[u] = sigmoid(i[u]);
    f[u] = sigmoid(f[u]);
    o[u] = sigmoid(o[u]);
    g[u] = tanh(g[u]);
    after.c[u] = f[u] * c[u] + i[u] * g[u];
    after.h[u] = o[u] * tanh(after.c[u]);
  }
  return after;
}

// Weights of a layer under their names, its gates under theirs, and room for the intermediate values of a step.
class Layer {
  constructor(kernel, tensors, inputs, cell, config) {
    const size = config.hidden;
    Object.assign(this, tensors);
    this.kernel = kernel;
    this.sums = kernel.vector(cell.gates.length * size);
    cell.gates.forEach((name, index) => (this[name] = this.sums.subarray(index * size, (index + 1) * size)));
    this.recurrent = kernel.vector(this.sums.length);
    this.operand = kernel.vector(size);
    this.output = kernel.vector(size);
    this.isResidual = config.residual && inputs === size;
  }

  // gates += W x
  add(name, x) {
    this.operand.set(x); // the kernel reads its own memory
    this.kernel.add(this[name], this.operand, this.sums);
  }

  // W x
  times(name, x) {
    this.operand.set(x);
    this.kernel.add(this[name], this.operand, this.recurrent.fill(0));
    return this.recurrent;
  }

  // Layer norm of h, plus the input x where the widths agree.
  finish(h, x) {
    const { output, norm_scale: scale, norm_shift: shift } = this;
    output.set(h);
    if (scale) {
      let mean = 0, variance = 0;
      for (const value of h) mean += value / h.length;
      for (const value of h) variance += (value - mean) ** 2 / h.length;
      const factor = 1 / Math.sqrt(variance + NORM_EPSILON);
      for (let u = 0; u < h.length; u++) output[u] = (h[u] - mean) * factor * scale[u] + shift[u];
    }
    if (this.isResidual) for (let u = 0; u < h.length; u++) output[u] += x[u];
    return output;
  }
}

class Model {
  // `card` is the document that charlm/html/export.py writes, `halves` the weights in its order, in half precision.
  constructor(card, halves, plain = false) {
    const { config, cell } = card;
    this.config = config;
    this.cell = cell;
    this.stepCell = CELLS[config.cell];
    let floats = config.layers * (cell.gates.length + 1) * 2 * padded(config.hidden) + padded(config.vocabulary);
    for (const length of pointerVectors(config)) floats += padded(length);
    for (const [, shape] of card.tensors) floats += shape.length > 1 ? shape[0] * padded(shape[1]) : padded(shape[0]);
    const kernel = (this.kernel = new Kernel(floats, plain));
    const tensors = readTensors(kernel, card.tensors, halves);
    this.embedding = tensors.embedding;
    this.outputWeights = config.tied ? tensors.embedding : tensors["output.w"];
    this.outputBias = tensors["output.b"];
    this.logits = kernel.vector(config.vocabulary);
    this.layers = [];
    for (let number = 0; number < config.layers; number++) {
      const own = {}, prefix = `layers.${number}.`;
      for (const name in tensors) if (name.startsWith(prefix)) own[name.slice(prefix.length)] = tensors[name];
      this.layers.push(new Layer(kernel, own, number ? config.hidden : config.embedding, cell, config));
    }
    this.matcher = card.matching.length ? new Matcher(card.matching, halves, card.hasStatements) : null;
    this.pointer = tensors["pointer.query"] ? new Pointer(this, tensors) : null;
    this.projections = []; // W_x e + b of the first layer by id: it depends on nothing else
  }

  // The context before any text: all characters are equally likely.
  start() {
    const zeros = new Float32Array(this.config.hidden);
    const layer = Object.fromEntries(this.cell.state.map((field) => [field, zeros]));
    return { state: this.layers.map(() => layer), logits: new Float32Array(this.config.vocabulary) };
  }

  // Read one id; return the state after it and the logits of the next id.
  step(state, id) {
    const { data, stride, columns } = this.embedding;
    let x = data.subarray(id * stride, id * stride + columns);
    const after = this.layers.map((layer, number) => {
      if (number) this.project(layer, x);
      else if (this.projections[id]) layer.sums.set(this.projections[id]);
      else this.projections[id] = this.project(layer, x).slice();
      const next = this.stepCell(layer, state[number]);
      x = layer.finish(next.h, x);
      return next;
    });
    this.logits.set(this.outputBias);
    this.kernel.add(this.outputWeights, x, this.logits);
    return { state: after, logits: this.logits.slice() };
  }

  project(layer, x) {
    layer.sums.set(layer.b);
    this.kernel.add(layer.w_x, x, layer.sums);
    return layer.sums;
  }

  // A signal of a layer in the last step, which led to `state`.
  signal(number, name, state) {
    return state[number][name] ?? this.layers[number][name];
  }
}

// Tensors by name: vectors as arrays, matrices with padded rows in the kernel's memory.
function readTensors(kernel, shapes, halves) {
  const table = Float32Array.from({ length: 65536 }, (_, bits) => fromHalf(bits));
  const tensors = {};
  let at = 0;
  for (const [name, shape] of shapes) {
    if (shape.length === 1) {
      tensors[name] = Float32Array.from({ length: shape[0] }, () => table[halves[at++]]);
      continue;
    }
    const matrix = (tensors[name] = kernel.matrix(...shape));
    for (let row = 0; row < matrix.rows; row++) {
      const first = row * matrix.stride;
      for (let column = 0; column < matrix.columns; column++) matrix.data[first + column] = table[halves[at++]];
    }
  }
  return tensors;
}

// IEEE 754 half precision: a sign, 5 bits of exponent, 10 of fraction. Weights are finite.
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction);
}
