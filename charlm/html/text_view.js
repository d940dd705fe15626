// The text on the page: one element a character, coloured by its surprisal, with a cursor that keys and clicks move.
"use strict";

const HEAT_LEVELS = 6; // bits; from here on the colour is the strongest
const NEAR_END_PX = 80; // a reader who is this near to the end follows it

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

class TextView {
  // `onChoose` gets the index of the id at which the chosen character begins, or null.
  constructor(root, scroller, vocabulary, dialogue, onChoose) {
    Object.assign(this, { root, scroller, vocabulary, dialogue, onChoose });
    this.chosen = null;
    this.drawn = [];
    root.classList.add(dialogue.hasTurns ? "chat" : "prose");
    root.addEventListener("click", (event) => event.target.dataset.at && this.choose(event.target));
    scroller.addEventListener("keydown", (event) => this.onKey(event));
  }

  // Draw what is new of a transcript, or all of it if it is not the one drawn last.
  show(transcript) {
    const isNear = this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < NEAR_END_PX;
    if (transcript !== this.transcript || this.drawn.length > transcript.turns.length) {
      this.transcript = transcript;
      this.drawn = [];
      this.chosen = null;
      this.root.replaceChildren();
    }
    transcript.turns.forEach((turn, number) => this.draw(turn, (this.drawn[number] ??= this.begin(turn))));
    if (isNear) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  begin({ author, name, first }) {
    const words = element("span", "words"), turn = element(this.dialogue.hasTurns ? "article" : "span", `turn ${author}`);
    if (this.dialogue.hasTurns) turn.append(element("h2", "name", visible(name)));
    turn.append(words);
    this.root.append(turn);
    return { words, first, next: first, bits: 0, decoder: this.vocabulary.decoder() };
  }

  draw(turn, drawn) {
    const { ids, bits } = this.transcript, added = document.createDocumentFragment();
    for (; drawn.next < turn.last; ) {
      drawn.bits += bits[drawn.next];
      const text = drawn.decoder.push(ids[drawn.next++]);
      if (!text) continue; // a byte of a character
      const one = element("span", `heat-${Math.min(HEAT_LEVELS, Math.floor(drawn.bits))}`, visible(text));
      one.dataset.at = drawn.first;
      added.append(one);
      Object.assign(drawn, { first: drawn.next, bits: 0 });
    }
    drawn.words.append(added);
  }

  choose(character) {
    this.chosen?.classList.remove("chosen");
    this.chosen = character;
    character?.classList.add("chosen");
    character?.scrollIntoView({ block: "nearest" });
    this.onChoose(character ? Number(character.dataset.at) : null);
  }

  onKey(event) {
    const all = [...this.root.querySelectorAll("[data-at]")];
    const here = this.chosen ? all.indexOf(this.chosen) : all.length;
    const there = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: all.length - 1 }[event.key];
    if (there === undefined || event.altKey || event.ctrlKey || event.metaKey || !all.length) return;
    event.preventDefault();
    this.choose(all[Math.max(0, Math.min(there, all.length - 1))]);
  }
}
