// The page: buttons and settings on one side, a transcript on the other.
"use strict";

// Of writing before each drawing: as long as the last drawing took, which grows with the text.
const MIN_FRAME_MS = 25, MAX_FRAME_MS = 100;
const MAX_UNDO = 100;
const $ = (id) => document.getElementById(id);

class App {
  // `parts` are the model, its vocabulary, and the classes of its transcripts and writers.
  constructor(card, parts) {
    Object.assign(this, parts);
    this.card = card;
    this.dialogue = new Dialogue(card.dialogue);
    this.dials = { ...card.dials, pace: 0 };
    this.writer = null; // while the model writes
    this.place = null; // index of the id that the reader looks at; null for the next one
    this.text = new TextView($("turns"), $("text"), this.vocabulary, this.dialogue, (at) => this.lookAt(at));
    this.inside = new InsideView(this.model, this.vocabulary, card, (id) => this.goOnWith(id));
    this.connectSettings();
    this.connectButtons();
    this.describe();
    this.reset();
  }

  describe() {
    const { hasTurns } = this.dialogue, { shape, language, notices } = this.card;
    const place = this.model.isServed ? "on the server of this page" : "in this page; nothing is sent anywhere";
    $("shape").textContent = `${shape}. It runs ${place}.`;
    $("turns").lang = language;
    $("sources").hidden = !notices.length;
    $("notices").replaceChildren(...notices.map((notice) => element("li", "", notice)));
    $("words").placeholder = hasTurns ? "Say something" : "Write a beginning, or nothing";
    const lines = [
      hasTurns ? "Say something, and the model replies." : "Write a beginning, and the model goes on.",
      "It writes one character at a time. The stronger a character is coloured, the more it surprised the model.",
      "Choose a character to see what else the model considered, and go on from there.",
      "Enter sends, Shift+Enter begins a new line, Escape stops.",
    ];
    $("intro").replaceChildren(...lines.map((line) => element("p", "", line)));
  }

  connectSettings() {
    for (const name of ["temperature", "topP", "minP", "length", "pace"]) {
      const input = $(name), output = input.parentElement.querySelector("span");
      const show = () => output && (output.textContent = input.value);
      input.value = this.dials[name];
      input.addEventListener("input", () => {
        if (input.checkValidity()) this.dials[name] = Number(input.value);
        show();
      });
      show();
    }
    $("seed").addEventListener("change", () => this.reseed(/^\d{1,18}$/.test($("seed").value) ? $("seed").value : null));
    const paint = () => $("turns").classList.toggle("coloured", $("colours").checked);
    $("colours").addEventListener("change", paint);
    paint();
    this.seed = null; // that the reader chose; null draws one for each text
    const { hasNames, names } = this.dialogue;
    if (!hasNames) return;
    // The most frequent speaker is the one that the model knows best.
    const all = names.length > 1 ? names : [...names, "YOU", "BOT"].slice(0, 2);
    for (const [id, chosen] of [["bot", all[0]], ["you", all[1]]]) {
      $(id).replaceChildren(...all.map((name) => new Option(name, name, false, name === chosen)));
    }
  }

  connectButtons() {
    $("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.writer) this.stop();
      else this.send();
    });
    $("words").addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!this.writer) this.send();
    });
    $("new").addEventListener("click", () => this.reset());
    $("again").addEventListener("click", () => this.again());
    $("undo").addEventListener("click", () => this.undo());
    $("toggle").addEventListener("click", () => this.openInside(!$("inside").classList.contains("is-open")));
    $("text").addEventListener("keydown", ({ key }) => {
      if (key === "Enter") $("choices").querySelector("button:not(:disabled)")?.focus();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.writer ? this.stop() : this.text.choose(null);
      else if (event.altKey && event.code === "KeyR") this.again();
      else if (event.altKey && event.code === "KeyZ") this.undo();
    });
  }

  reseed(seed) {
    this.seed = seed;
    $("seed").value = seed ?? crypto.getRandomValues(new Uint32Array(1))[0];
    this.random = new Random($("seed").value);
  }

  reset() {
    this.stop();
    this.versions = [];
    this.reseed(this.seed);
    this.show(new this.Transcript(this.model));
    $("status").textContent = "";
    if (matchMedia("(pointer: fine)").matches) $("words").focus(); // a touch would open the keyboard
  }

  // -- operations: each keeps the transcript before it, for undo ------------------------------------------------------

  begin(transcript) {
    this.versions = [...this.versions.slice(-MAX_UNDO), this.transcript];
    this.show(transcript);
  }

  send() {
    const words = this.dialogue.fit($("words").value, this.vocabulary);
    if (!words && this.model.isServed && this.dialogue.hasTurns && !this.transcript.ids.length) return;
    $("words").value = "";
    this.begin(this.transcript.cut(this.transcript.ids.length));
    this.write({ words, turn: this.transcript.turns.at(-1) });
  }

  // Write the last part once more.
  again() {
    const last = this.transcript.turns.at(-1);
    if (this.writer || last?.author !== "model") return;
    this.begin(this.transcript.cut(last.first));
    this.write({ turn: this.transcript.turns.at(-1) });
  }

  // Put an alternative in the place that the reader looks at, and go on from there.
  goOnWith(id) {
    if (this.writer) return;
    const transcript = this.transcript.cut(this.place ?? this.transcript.ids.length), last = transcript.turns.at(-1);
    const turn = last?.author === "model" ? last : this.beginReply(transcript);
    transcript.read([id]);
    turn.last = transcript.ids.length;
    this.begin(transcript);
    this.write({ turn });
    $("text").focus();
  }

  beginReply(transcript) {
    return transcript.beginTurn("model", $("bot").value, this.dialogue, this.vocabulary);
  }

  undo() {
    this.stop();
    if (this.versions.length) this.show(this.versions.pop());
  }

  stop() {
    if (!this.writer) return;
    this.writer.end("cancelled");
    this.finish();
  }

  // -- writing --------------------------------------------------------------------------------------------------------

  write(options) {
    const { dialogue, vocabulary, dials, random } = this, you = $("you").value, bot = $("bot").value;
    this.writer = new this.Writer(this.transcript, { dialogue, vocabulary, dials, random, you, bot, ...options });
    this.words = options.words;
    this.spent = 0; // milliseconds of computing
    this.drawnIds = 0;
    this.owed = 0; // characters that a slow pace allows
    this.lastFrame = this.ended = performance.now();
    this.update();
    requestAnimationFrame((now) => this.frame(now));
  }

  frame(now) {
    if (!this.writer) return;
    const began = performance.now(), { pace } = this.dials, shownIds = this.drawnIds;
    const end = began + Math.max(MIN_FRAME_MS, Math.min(began - this.ended, MAX_FRAME_MS));
    this.owed = pace ? Math.min(pace, this.owed + (pace * (now - this.lastFrame)) / 1000) : Infinity;
    this.lastFrame = now;
    let goesOn = true;
    for (; goesOn && this.writer.isReady && this.owed >= 1 && performance.now() < end; ) {
      const isShown = !this.writer.preparation;
      goesOn = this.writer.step();
      this.owed -= isShown;
      this.drawnIds += isShown;
    }
    this.ended = performance.now();
    this.spent += this.ended - began;
    if (!goesOn) return this.finish();
    if (this.drawnIds > shownIds) {
      this.text.show(this.transcript);
      this.inside.showSignals(this.transcript.context.state);
    }
    requestAnimationFrame((next) => this.frame(next));
  }

  finish() {
    const { chars, reason, text, kept, error } = this.writer, perSecond = Math.round((1000 * this.drawnIds) / this.spent);
    const speed = this.spent > 100 && !this.model.isServed ? `, ${perSecond.toLocaleString()} a second` : "";
    this.writer = null;
    const ending = { cancelled: "; stopped", length: "; full length" }[reason] ?? "";
    $("status").textContent = error || `${chars} characters${speed}${ending}`;
    if (reason === "cancelled" && !chars) return this.takeBack();
    $("spoken").textContent = visible(text.slice(kept)); // for screen readers, now that it is whole
    this.update();
  }

  // Nothing was written yet: go back to the text before, and to the words as the person typed them.
  takeBack() {
    $("words").value ||= this.words ?? "";
    this.show(this.versions.pop());
  }

  // -- the screen -----------------------------------------------------------------------------------------------------

  show(transcript) {
    this.transcript = transcript;
    this.place = null;
    this.update();
  }

  update() {
    const isWriting = this.writer !== null, { transcript } = this, { turns, context, ids } = transcript;
    $("intro").hidden = turns.length > 0;
    for (const section of document.querySelectorAll(".look")) section.hidden = !ids.length;
    $("write").textContent = isWriting ? "Stop" : this.dialogue.hasTurns ? "Send" : "Write";
    $("again").disabled = isWriting || turns.at(-1)?.author !== "model";
    $("undo").disabled = !this.versions.length;
    $("speakers").hidden = !this.dialogue.hasNames || turns.length > 0 || this.model.isServed;
    this.text.show(transcript);
    this.inside.showSignals(isWriting || !ids.length ? context.state : transcript.stateAfter(ids.length - 1));
    const canGoOn = !isWriting && ids.length > 0 && (!this.dialogue.hasTurns || turns.at(-1)?.author === "model");
    this.inside.showChoices(transcript.choicesAt(ids.length), undefined, 0, canGoOn);
  }

  // Show the alternatives at an id, and what the cells did when they read it.
  lookAt(at) {
    this.stop();
    this.place = at;
    if (at === null || at >= this.transcript.ids.length) return this.update();
    const { transcript } = this, { author } = transcript.turns.find(({ first, last }) => first <= at && at < last);
    const canGoOn = author === "model" || !this.dialogue.hasTurns;
    this.inside.showChoices(transcript.choicesAt(at), transcript.ids[at], transcript.bits[at], canGoOn);
    this.inside.showSignals(transcript.stateAfter(at));
    this.openInside(true);
  }

  openInside(isOpen) {
    $("inside").classList.toggle("is-open", isOpen);
    $("toggle").setAttribute("aria-expanded", isOpen);
  }
}
