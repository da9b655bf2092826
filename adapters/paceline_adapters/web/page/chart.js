// One figure over the last minutes: a line, its newest value, and the same in words.

import { draw, make, mark, say } from "./dom.js";

const MINUTES = 5;
const SPAN = MINUTES * 60_000;
const WIDTH = 300;
const HEIGHT = 40;
// Samples come each second: after more silence than this the line is broken, not drawn across.
const GAP = 5_000;

/** A figure as one reads it: small ones with a digit more, or they would all be 0. */
const read = (value) =>
  value > 0 && value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value);

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
    mark(this.#svg, "aria-label", `${label}: not known yet`);
    this.element = make(
      "figure",
      { class: "chart", "data-figure": field, title: `the last ${MINUTES} minutes` },
      make("figcaption", {}, make("span", { class: "chart-label" }, label), this.#value, this.#of),
      this.#svg,
    );
  }

  /** Show samples in the order they were taken; the last one is now. */
  show(samples) {
    const now = samples.at(-1);
    if (!now) return;
    // What is too old was before a gap; what is of the future, before the server's clock was set.
    const recent = samples.filter((one) => one.time <= now.time && one.time >= now.time - SPAN);
    const value = read(now[this.field]);
    const bound = this.most ? now[this.most] : 0;
    const most = Math.max(...recent.map((one) => one[this.field]));
    const peak = read(most);
    say(this.#value, `${value}${this.unit}`);
    say(this.#of, this.most ? `of ${bound}` : `peak ${peak}`);
    const [line, area] = paths(recent, this.field, Math.max(most, bound, 1));
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
