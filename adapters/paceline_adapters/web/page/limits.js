// The limits at work: used, quota, waiting and refused of each model and resource, with their curves.

import { Problem, request } from "./api.js";
import { byId, inNextFrame, make, makeSvg, setAttr, setText } from "./dom.js";
import { moment } from "./format.js";

const EVERY = 2_000;
const WIDTH = 600;
const HEIGHT = 90;
const SPAN = 300_000;
const PER_MINUTE = new Set(["requests", "tokens"]);
const SWATCHES = { waiting: "waits" };
const cards = new Map();
let timer = 0;

/** Show or hide the view; it loads only while it is shown. */
export function showLimits(on) {
  clearTimeout(timer);
  byId("limits").hidden = !on;
  if (on) load();
}

async function load() {
  clearTimeout(timer);
  timer = setTimeout(load, EVERY);
  if (document.hidden) return;
  try {
    const { limits, why } = await request("api/limits?history=true");
    inNextFrame("limits", () => show(limits, why));
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    setText(byId("limits-why"), error.message);
  }
}

function show(limits, why) {
  setText(byId("limits-why"), why);
  byId("limits-empty").hidden = limits.length > 0;
  const wanted = limits.map((limit) => {
    const key = `${limit.strategy} ${limit.key} ${limit.unit}`;
    if (!cards.has(key)) cards.set(key, new LimitCard());
    const card = cards.get(key);
    card.show(limit);
    return [key, card];
  });
  const keys = new Set(wanted.map(([key]) => key));
  for (const key of cards.keys()) if (!keys.has(key)) cards.delete(key);
  const place = byId("limit-cards");
  const elements = wanted.map(([, card]) => card.element);
  if (elements.length !== place.children.length || elements.some((one, i) => place.children[i] !== one)) {
    place.replaceChildren(...elements);
  }
}

class LimitCard {
  #title = make("h3");
  #where = make("p", { class: "hint" });
  #numbers = make("dl", { class: "numbers" });
  #meter = make("span", { class: "meter-fill" });
  #quota = makeSvg("path", { class: "bound" });
  #used = makeSvg("path", { class: "line" });
  #area = makeSvg("path", { class: "area" });
  #waiting = makeSvg("path", { class: "line waits" });
  #svg = makeSvg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    this.#area,
    this.#waiting,
    this.#quota,
    this.#used,
  );
  #marks = makeSvg("g", { class: "marks" });
  #changes = make("ol", { class: "changes", tabindex: "0" });
  #more = make("details", { hidden: true, open: true }, make("summary", {}, "Why it changed"), this.#changes);

  constructor() {
    this.#svg.append(this.#marks);
    this.element = make(
      "li",
      { class: "limit" },
      make("div", { class: "limit-head" }, this.#title, this.#where),
      this.#numbers,
      make("span", { class: "meter", "aria-hidden": "true" }, this.#meter),
      this.#svg,
      make(
        "p",
        { class: "hint key-line" },
        ...["used", "quota", "waiting", "refused"].map((word) =>
          make("span", { class: "key-item" }, make("span", { class: `swatch ${SWATCHES[word] ?? word}` }), word),
        ),
        "the last 5 minutes",
      ),
      this.#more,
    );
  }

  show(limit) {
    const { strategy, key, unit, used, quota, waiting, refused, shared, reason, history, changes } = limit;
    const minute = PER_MINUTE.has(unit) ? " a minute" : " at once";
    const name = `${key || "each roadmap"}: ${unit}${minute}`;
    setText(this.#title, name);
    setText(this.#where, `${strategy}, ${shared ? "over all workers" : "per worker"}`);
    const share = Math.min(1, used / Math.max(1, quota));
    this.#meter.style.width = `${100 * share}%`;
    setAttr(this.element, "data-full", share >= 0.9 ? "yes" : null);
    const numbers = [
      ["used", used.toLocaleString()],
      ["quota", quota.toLocaleString()],
      ["waiting", waiting.toLocaleString()],
      ["refused", refused.toLocaleString()],
    ];
    const text = numbers.map((pair) => pair.join(" ")).join("\n");
    if (this.#numbers.dataset.shown !== text) {
      this.#numbers.dataset.shown = text;
      this.#numbers.replaceChildren(
        ...numbers.map(([term, value]) => make("div", {}, make("dt", {}, term), make("dd", {}, value))),
      );
    }
    this.#draw(history);
    setAttr(this.#svg, "aria-label", `${name}: ${text.replaceAll("\n", ", ")}${reason ? `; ${reason}` : ""}`);
    this.#more.hidden = !changes.length;
    const lines = changes.map((one) => `${moment(one.at)}: ${one.quota.toLocaleString()} ${unit}. ${one.reason}`);
    if (this.#changes.dataset.shown !== lines.join("\n")) {
      this.#changes.dataset.shown = lines.join("\n");
      this.#changes.replaceChildren(...lines.map((line) => make("li", {}, line)));
    }
  }

  #draw({ at, used, quota, waiting, refused }) {
    const times = at.map((one) => Date.parse(one));
    const end = times.at(-1);
    const top = Math.max(1, ...quota, ...used) * 1.05;
    const most = Math.max(top, ...waiting);
    const x = (index) => (WIDTH - ((end - times[index]) / SPAN) * WIDTH).toFixed(1);
    const y = (value, over) => (HEIGHT - (value / over) * (HEIGHT - 2)).toFixed(1);
    const line = (values, over) => values.map((one, i) => `${i ? "L" : "M"}${x(i)} ${y(one, over)}`).join("");
    setAttr(this.#used, "d", line(used, top));
    setAttr(this.#area, "d", `${line(used, top)}V${HEIGHT}H${x(0)}Z`);
    setAttr(this.#quota, "d", line(quota, top));
    setAttr(this.#waiting, "d", waiting.some(Boolean) ? line(waiting, most) : null);
    const marks = refused
      .map((count, i) => (i && count > refused[i - 1] ? x(i) : null))
      .filter((one) => one !== null)
      .map((place) => makeSvg("path", { class: "refusal", d: `M${place} ${HEIGHT}V${HEIGHT - 14}` }));
    this.#marks.replaceChildren(...marks);
  }
}
