// One figure over the last minutes: a line, its newest value, and the same in words.

import { draw, make, mark, say } from "./dom.js";

const MINUTES = 5;
const SPAN = MINUTES * 60_000;
const WIDTH = 300;
const HEIGHT = 40;
// Samples come each second: after more silence than this the line is broken, not drawn across.
const GAP = 5_000;

/** A small chart. `most` names the sample's field that bounds the value, if one does. */
export class Chart {
  #value = make("span", { class: "figure" });
  #of = make("span", { class: "figure-of" });
  #line = draw("path", { class: "line" });
  #area = draw("path", { class: "area" });
  #bound = draw("path", { class: "bound" });
  #svg = draw(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    this.#area,
    this.#bound,
    this.#line,
  );

  constructor(label, field, { most = null, unit = "" } = {}) {
    this.label = label;
    this.field = field;
    this.most = most;
    this.unit = unit;
    this.element = make(
      "figure",
      { class: "chart", "data-figure": field },
      make("figcaption", {}, make("span", { class: "chart-label" }, label), this.#value, this.#of),
      this.#svg,
    );
  }

  /** Show samples, oldest first; the last one is now. */
  show(samples) {
    const now = samples.at(-1);
    if (!now) return;
    const value = Math.round(now[this.field]);
    const bound = this.most ? now[this.most] : 0;
    const peak = Math.round(Math.max(...samples.map((one) => one[this.field])));
    say(this.#value, `${value}${this.unit}`);
    say(this.#of, this.most ? `of ${bound}` : `peak ${peak}`);
    const [line, area] = paths(samples, this.field, Math.max(peak, bound, 1));
    mark(this.#line, "d", line);
    mark(this.#area, "d", area);
    mark(this.#bound, "d", bound ? `M0 1H${WIDTH}` : null);
    const of = bound ? ` of ${bound}` : "";
    mark(
      this.#svg,
      "aria-label",
      `${this.label}: ${value}${of} now, at most ${peak} in the last ${MINUTES} minutes`,
    );
  }
}

function paths(samples, field, top) {
  const end = samples.at(-1).time;
  const height = (value) => (HEIGHT - 1 - (value / top) * (HEIGHT - 2)).toFixed(1);
  let line = "";
  let area = "";
  let before = null;
  for (const one of samples) {
    const x = (WIDTH - ((end - one.time) / SPAN) * WIDTH).toFixed(1);
    const y = height(one[field]);
    if (before && one.time - before.time <= GAP) {
      line += `L${x} ${y}`;
      area += `L${x} ${y}`;
    } else {
      if (before) area += `V${HEIGHT}Z`;
      line += `M${x} ${y}`;
      area += `M${x} ${HEIGHT}V${y}`;
    }
    before = one;
  }
  return [line, `${area}V${HEIGHT}Z`];
}
