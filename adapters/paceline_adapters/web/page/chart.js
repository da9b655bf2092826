// A chart of one figure over the last minutes: a line, the newest value, and a text alternative.

import { make, makeSvg, setAttr, setText } from "./dom.js";

const MINUTES = 5;
const SPAN = MINUTES * 60_000;
const WIDTH = 300;
const HEIGHT = 40;
// Samples arrive each second. A longer gap than this breaks the line.
const GAP = 5_000;

/** A rounded figure; small ones keep one decimal, or they would all be 0. */
const rounded = (value) =>
  value > 0 && value < 10 && !Number.isInteger(value) ? value.toFixed(1) : Math.round(value);

/** A small chart. `max` names the field of the sample with the upper bound, if there is one. */
export class Chart {
  #value = make("span", { class: "figure" });
  #of = make("span", { class: "figure-of" });
  #line = makeSvg("path", { class: "line" });
  #area = makeSvg("path", { class: "area" });
  #bound = makeSvg("path", { class: "bound" });
  #svg = makeSvg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    this.#area,
    this.#bound,
    this.#line,
  );

  constructor(label, field, { max = null, unit = "" } = {}) {
    this.label = label;
    this.field = field;
    this.max = max;
    this.unit = unit;
    setAttr(this.#svg, "aria-label", `${label}: no data yet`);
    this.element = make(
      "figure",
      { class: "chart", "data-figure": field, title: `the last ${MINUTES} minutes` },
      make("figcaption", {}, make("span", { class: "chart-label" }, label), this.#value, this.#of),
      this.#svg,
    );
  }

  /** Show samples, oldest first. */
  show(samples) {
    const now = samples.at(-1);
    if (!now) return;
    // Skip samples from before a gap, and from before the server's clock was set back.
    const recent = samples.filter((one) => one.time <= now.time && one.time >= now.time - SPAN);
    const value = rounded(now[this.field]);
    const bound = this.max ? now[this.max] : 0;
    const highest = Math.max(...recent.map((one) => one[this.field]));
    const peak = rounded(highest);
    setText(this.#value, `${value}${this.unit}`);
    setText(this.#of, this.max ? `of ${bound}` : `peak ${peak}`);
    const [line, area] = paths(recent, this.field, Math.max(highest, bound, 1));
    setAttr(this.#line, "d", line);
    setAttr(this.#area, "d", area);
    setAttr(this.#bound, "d", bound ? `M0 1H${WIDTH}` : null);
    const of = bound ? ` of ${bound}` : "";
    setAttr(
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
