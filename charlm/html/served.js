// The page of `charlm serve`: its model is on the server. An id is a character here, as in the server's answers.
"use strict";

const KEY = "charlm key"; // in the storage of this tab

class Server {
  constructor(model) {
    this.model = model;
    this.key = sessionStorage.getItem(KEY) ?? "";
  }

  // The answer to a request. An error has the server's message and status.
  async ask(path, body, signal) {
    const headers = { "content-type": "application/json" };
    const key = String.fromCharCode(...new TextEncoder().encode(this.key)); // a header has bytes
    if (key) headers.authorization = `Bearer ${key}`;
    const method = body ? "POST" : "GET", { model } = this;
    const answer = await fetch(path, { method, headers, signal, body: body && JSON.stringify({ ...body, model }) });
    if (answer.ok) return answer;
    const { error } = await answer.json();
    throw Object.assign(new Error(error.message), { status: answer.status });
  }

  async read(path, body, signal) {
    return (await this.ask(path, body, signal)).json();
  }

  // The documents of a stream.
  async *stream(path, body, signal) {
    const answer = await this.ask(path, body, signal), reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events.filter((one) => one !== "data: [DONE]")) {
        const document = JSON.parse(event.slice("data: ".length));
        if (document.error) throw new Error(document.error.message);
        yield document;
      }
    }
  }
}

// The likeliest characters, from pairs with log p.
function choicesOf(pairs) {
  const whole = pairs.filter(([character]) => [...character].length === 1); // not the bytes of one
  const choices = whole.map(([id, logP]) => ({ id, p: Math.exp(logP) }));
  return choices.sort((one, other) => other.p - one.p).slice(0, CHOICES);
}

// The characters of an event, each with log p and its alternatives.
function charactersOf({ logprobs }) {
  const pair = ({ token, logprob }) => [token, logprob];
  if (logprobs?.content) return logprobs.content.map((one) => [...pair(one), one.top_logprobs.map(pair)]);
  const { tokens = [], token_logprobs, top_logprobs } = logprobs ?? {};
  return tokens.map((token, at) => [token, token_logprobs[at], Object.entries(top_logprobs[at])]);
}

class Characters extends Vocabulary {
  encode(text) {
    return [...text];
  }

  label(id) {
    return id;
  }

  decoder() {
    return { push: (id) => id, flush: () => "" };
  }
}

// Stands in for the network: states are the signals of the step that led to them.
class ServedModel {
  constructor(server) {
    this.isServed = true;
    this.server = server;
    this.onLook = () => {}; // called with a transcript once there is more to show of it
  }

  start() {
    return { state: null, logits: null };
  }

  signal(number, name, state) {
    return state[number][name];
  }

  // Characters of a text from an index on, the likeliest next ones, and the signals of the last step.
  async look(ids, first, signal) {
    const text = ids.join("");
    const look = await this.server.read("look", { text, first: [...ids.slice(0, first).join("")].length }, signal);
    for (const layer of look.signals) for (const name in layer) layer[name] = Float32Array.from(layer[name]);
    return look;
  }
}

class ServedTranscript extends Transcript {
  constructor(model) {
    super(model);
    this.choices = []; // at each index, if known
    this.states = new Map(); // by the index of the last id
  }

  read(ids) {
    for (const id of ids) {
      const p = this.choices[this.ids.length]?.find((one) => one.id === id)?.p ?? 1;
      this.bits.push(-Math.log2(p));
      this.ids.push(id);
    }
  }

  add([id, logP, alternatives]) {
    this.choices[this.ids.length] = choicesOf(alternatives);
    this.bits.push(-logP / Math.LN2);
    this.ids.push(id);
  }

  contextAt() {
    return this.context;
  }

  choicesAt(index) {
    return this.choices[index] ?? [];
  }

  // Undefined until the server has answered.
  stateAfter(index) {
    if (!this.states.has(index)) this.look(index).catch(() => {}); // the place stays as it is
    return this.states.get(index);
  }

  async look(index) {
    const { next, signals } = await this.model.look(this.ids.slice(0, index + 1), index + 1);
    this.choices[index + 1] ??= choicesOf(next);
    this.states.set(index, signals);
    this.model.onLook(this);
  }

  cut(index) {
    const copy = super.cut(index);
    copy.choices = this.choices.slice(0, index + 1);
    copy.states = new Map([...this.states].filter(([at]) => at < index));
    return copy;
  }
}

// Shows a person's words and the server's reply as they arrive.
class ServedWriter {
  constructor(transcript, { words = "", turn = null, you = "", bot = "", dialogue, vocabulary, dials, random }) {
    Object.assign(this, { transcript, bot, dialogue, vocabulary });
    Object.assign(this, { text: "", kept: 0, chars: 0, reason: "", error: "", hasArrived: false });
    this.arrived = []; // characters to show; null where the reply begins
    this.stopping = new AbortController();
    const asked = this.request(words, dials, random);
    this.turn = words ? transcript.beginTurn("you", you, dialogue, vocabulary) : turn;
    const write = this.receive(words, ...asked).catch((error) => (this.error = error.message));
    write.finally(() => (this.hasArrived = true));
  }

  get isReady() {
    return this.arrived.length > 0 || this.hasArrived;
  }

  // Path and body of the request for what follows a text.
  request(words, { temperature, topP, minP, length }, random) {
    const { ids, turns } = this.transcript, seed = Math.floor(random.next() * 2 ** 32);
    const dials = { temperature, top_p: topP, min_p: minP, max_tokens: length, seed, stream: true };
    if (!this.dialogue.hasTurns) return ["v1/completions", { ...dials, prompt: ids.join("") + words, logprobs: CHOICES }];
    const messages = turns.map(({ author, first, last }) => (
      { role: author === "you" ? "user" : "assistant", content: ids.slice(first, last).join("") }
    ));
    if (words) messages.push({ role: "user", content: words });
    return ["v1/chat/completions", { ...dials, messages, logprobs: true, top_logprobs: CHOICES }];
  }

  async receive(words, path, body) {
    const { transcript, arrived, stopping: { signal } } = this, { ids, model } = transcript;
    if (words) arrived.push(...(await model.look([...ids, ...words], ids.length, signal)).scores);
    arrived.push(null);
    for await (const { choices: [part] } of model.server.stream(path, body, signal)) {
      arrived.push(...charactersOf(part));
      this.reason = part.finish_reason ?? this.reason;
    }
  }

  step() {
    if (!this.arrived.length) return this.end(this.error ? "cancelled" : this.reason);
    const one = this.arrived.shift(), { transcript } = this;
    if (one) this.show(one);
    else if (this.turn?.author !== "model") {
      this.turn = transcript.beginTurn("model", this.bot, this.dialogue, this.vocabulary);
    }
    return true;
  }

  show(character) {
    this.transcript.add(character);
    this.turn.last = this.transcript.ids.length;
    if (this.turn.author !== "model") return;
    this.text += character[0];
    this.chars += [...character[0]].length;
  }

  end(reason) {
    this.reason = reason;
    this.stopping.abort();
    return false;
  }
}

// Ask for the server's key, in the place of the introduction.
function askForKey(wasWrong) {
  const text = wasWrong ? "That is not the key of this server. " : "Key of this server ";
  const form = element("form"), label = element("label", "", text), input = element("input");
  input.type = "password";
  label.append(input);
  form.append(label, " ", element("button", "", "Open"));
  $("intro").replaceChildren(form);
  input.focus();
  return new Promise((resolve) => form.addEventListener("submit", (event) => {
    event.preventDefault();
    resolve(input.value);
  }));
}

// The server, once it accepts the key, and the names of its models.
async function connect(server) {
  for (;;) {
    try {
      return (await server.read("v1/models")).data.map(({ id }) => id);
    } catch (error) {
      if (error.status !== 401) throw error;
    }
    server.key = await askForKey(server.key !== "");
    sessionStorage.setItem(KEY, server.key);
  }
}

async function start() {
  const parts = ["composer", "inside", "new", "toggle"].map($);
  parts.forEach((one) => (one.hidden = true)); // until there is a model
  const asked = new URLSearchParams(location.search).get("model");
  const server = new Server(asked ?? undefined);
  const names = await connect(server), card = await server.read("card", {});
  if (names.length > 1) {
    const chooser = element("select");
    chooser.ariaLabel = "Model";
    chooser.append(...names.map((name) => new Option(name, name, false, name === card.name)));
    chooser.addEventListener("change", () => (location.search = new URLSearchParams({ model: chooser.value })));
    document.querySelector("h1").replaceChildren(chooser);
  } else document.querySelector("h1").textContent = card.name;
  document.title = card.name;
  server.model = card.name;
  parts.forEach((one) => (one.hidden = false));
  const model = new ServedModel(server), vocabulary = new Characters(card.vocabulary);
  app = new App(card, { model, vocabulary, Transcript: ServedTranscript, Writer: ServedWriter });
  model.onLook = (transcript) => transcript === app.transcript && !app.writer && app.lookAt(app.place);
}

let app;
start().catch((error) => $("intro").replaceChildren(element("p", "", error.message)));
