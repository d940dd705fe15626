// The page with its model inside.
"use strict";

function start() {
  const card = JSON.parse($("card").textContent), bytes = bytesOf($("weights").textContent);
  $("weights").remove(); // megabytes of text that nothing needs any more
  const model = new Model(card, new Uint16Array(bytes.buffer)), vocabulary = new Vocabulary(card.vocabulary);
  return new App(card, { model, vocabulary, Transcript, Writer });
}

const app = start();
