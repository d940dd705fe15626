// The side of the page that looks inside: the likeliest characters at a place, and the signals of the cells as strips.
"use strict";

const STRIP_CELLS = 128; // at most; each is the mean of neighbouring units

const NAMES = new Map([[" ", "space"], ["\n", "newline"], ["\t", "tab"], ["\u3000", "wide space"]]);
const percent = (p) => (p < 0.0005 ? "< 0.1 %" : `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)} %`);

class InsideView {
  // `onPick` gets the id of the alternative to go on with.
  constructor(model, vocabulary, card, onPick) {
    Object.assign(this, { model, vocabulary, onPick });
    this.colours = card.palette.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
    this.signals = card.cell.signals;
    this.list = document.getElementById("choices");
    this.strips = Array.from({ length: card.config.layers }, (_, number) => this.makeStrips(number, card.config.hidden));
  }

  name(id) {
    const label = this.vocabulary.label(id);
    return NAMES.get(label) ?? visible(label);
  }

  // Show the alternatives at a place: `actual` is the id there, if any.
  showChoices(choices, actual, bits, canPick) {
    document.getElementById("place").textContent =
      actual === undefined ? "Next character" : `Instead of \u201c${this.name(actual)}\u201d`;
    const odds = actual === undefined ? "" : `\u201c${this.name(actual)}\u201d had ${percent(2 ** -bits)}: ${bits.toFixed(1)} bits of surprise. `;
    document.getElementById("odds").textContent = odds + (canPick ? "Choose one to go on from there." : "");
    this.list.replaceChildren(
      ...choices.map(({ id, p }) => {
        const item = element("li"), button = element("button"), bar = element("i");
        bar.style.setProperty("--p", p);
        button.append(element("b", "", this.name(id)), bar, element("small", "", percent(p)));
        button.type = "button";
        button.disabled = !canPick;
        button.addEventListener("click", () => this.onPick(id));
        if (id === actual) button.setAttribute("aria-current", "true");
        item.append(button);
        return item;
      }),
    );
  }

  makeStrips(number, hidden) {
    const root = document.getElementById("cells");
    root.append(element("h3", "", `Layer ${number + 1}`));
    return this.signals.map(({ name, meaning }) => {
      const strip = element("figure", "strip"), canvas = element("canvas"), mean = element("output");
      canvas.width = Math.min(STRIP_CELLS, hidden);
      canvas.height = 1;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", meaning);
      strip.title = meaning;
      strip.append(element("figcaption", "", name), canvas, mean);
      root.append(strip);
      return { canvas, mean };
    });
  }

  // Show the signals of the model's last step, which led to `state`; without one they stay.
  showSignals(state) {
    if (!state) return;
    this.strips.forEach((strips, number) =>
      strips.forEach(({ canvas, mean }, index) => {
        const { name, ends } = this.signals[index], values = this.model.signal(number, name, state);
        if (values) mean.textContent = drawStrip(canvas, values, ends, this.colours).toFixed(2).replace("-0.00", "0.00");
      }),
    );
  }
}

// Paint the means of neighbouring units; return the mean of all. A signal without ends has those of its largest value.
function drawStrip(canvas, values, ends, colours) {
  const reach = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
  const [low, high] = ends ?? [-reach, reach];
  const width = canvas.width, image = new ImageData(width, 1);
  for (let cell = 0; cell < width; cell++) {
    const group = values.subarray((cell * values.length) / width, ((cell + 1) * values.length) / width);
    const share = (group.reduce((a, b) => a + b) / group.length - low) / (high - low);
    const level = Math.max(0, Math.min(colours.length - 1, Math.floor(share * colours.length)));
    image.data.set([...colours[level], 255], 4 * cell);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return values.reduce((a, b) => a + b) / values.length;
}
