// A run's timeline: a lane per concept with its waits, calls and refusals, live and after the end.

import { Problem, request, runPath } from "./api.js";
import { make, makeSvg, setText } from "./dom.js";
import { duration } from "./format.js";
import { Scale } from "./timeline_scale.js";

const PAGE = 100;
const EVERY = 1_500;
const HEIGHT = 20;
// A mark of something short stays visible at this width, of 1000.
const THIN = 2.5;
const KINDS = [
  ["waiting", "waiting for admission"],
  ["calling", "in a call"],
  ["using", "using a resource"],
  ["refused", "refused"],
  ["failed", "failed"],
  ["saving", "saving"],
];

/** The timeline of one run. `live()` says whether the run may still change. */
export class Timeline {
  #summary = make("p", { class: "hint" });
  #axis = make("div", { class: "axis", "aria-hidden": "true" });
  #lanes = make("ol", { class: "lanes" });
  #problem = make("p", { class: "problem", role: "alert", hidden: true });
  #earlier = make("button", { type: "button", hidden: true, onclick: () => this.#turn(-1) }, "Concepts before");
  #later = make("button", { type: "button", hidden: true, onclick: () => this.#turn(1) }, "Concepts after");
  element = make(
    "section",
    { class: "timeline", "aria-label": "Timeline", hidden: true },
    this.#summary,
    make(
      "ul",
      { class: "legend", "aria-label": "Colours" },
      ...KINDS.map(([kind, text]) => make("li", {}, make("span", { class: `key ${kind}` }), text)),
    ),
    this.#problem,
    make("div", { class: "axis-row" }, make("span"), this.#axis),
    this.#lanes,
    make("div", { class: "actions" }, this.#earlier, this.#later),
  );
  #rows = new Map();
  #pages = [null];
  #page = 0;
  #after = null;
  #timer = 0;
  #loads = 0;
  #closed = false;

  constructor(runId, live) {
    this.runId = runId;
    this.live = live;
  }

  get shown() {
    return !this.element.hidden;
  }

  /** Show or hide it; it loads only while it is shown. */
  show(on) {
    this.element.hidden = !on;
    clearTimeout(this.#timer);
    if (on) this.load();
  }

  /** Load and draw it; again soon while the run may change. */
  async load() {
    clearTimeout(this.#timer);
    if (!this.shown || this.#closed) return;
    const number = ++this.#loads;
    const after = this.#pages[this.#page];
    const query = after === null ? "" : `&after=${encodeURIComponent(after)}`;
    try {
      const found = document.hidden
        ? null
        : await request(`${runPath(this.runId)}/timeline?limit=${PAGE}${query}`);
      if (this.#closed || number !== this.#loads) return;
      this.#problem.hidden = true;
      if (found) this.#draw(found);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setText(this.#problem, error.message);
      this.#problem.hidden = false;
      if (!error.temporary) return;
    }
    if (this.live()) this.#timer = setTimeout(() => this.load(), EVERY);
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #turn(step) {
    if (step > 0) this.#pages[this.#page + 1] = this.#after;
    this.#page += step;
    this.#rows.clear();
    this.load();
  }

  #draw({ now, concepts, after }) {
    this.#after = after;
    this.#earlier.hidden = this.#page === 0;
    this.#later.hidden = after === null;
    const lanes = concepts.map((concept) => ({ concept, bars: concept.steps.flatMap((step) => barsOf(step, Date.parse(now))) }));
    const bars = lanes.flatMap((lane) => lane.bars);
    setText(this.#summary, bars.length ? summary(bars) : "No step has worked yet.");
    const scale = new Scale(bars.map((bar) => [bar.start, Math.max(bar.end, bar.start + 1)]));
    this.#drawAxis(scale);
    const rows = lanes.map(({ concept, bars: own }) => {
      let row = this.#rows.get(concept.concept_id);
      if (!row) {
        row = new Lane(this.runId, concept.concept_id);
        this.#rows.set(concept.concept_id, row);
      }
      row.show(concept, own, scale);
      return row.element;
    });
    if (rows.length !== this.#lanes.children.length || rows[0] !== this.#lanes.firstElementChild) {
      this.#lanes.replaceChildren(...rows);
    }
  }

  #drawAxis(scale) {
    // A label at the right end would be cut off.
    const shown = scale.ticks().filter(({ time }) => scale.x(time) < 930);
    const ticks = shown.map(({ time, seconds }) => {
      const label = make("span", { class: "tick" }, seconds ? clock(seconds) : startText(time));
      label.style.left = `${scale.x(time) / 10}%`;
      return label;
    });
    const cuts = scale.cuts.map((cut) => {
      const label = make("span", { class: "cut" }, `${duration((cut.end - cut.start) / 1000)} pause`);
      label.style.left = `${scale.x(cut.start) / 10}%`;
      return label;
    });
    this.#axis.replaceChildren(...ticks, ...cuts);
  }
}

class Lane {
  #name;
  #svg = makeSvg("svg", { viewBox: `0 0 ${Scale.width} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });

  constructor(runId, conceptId) {
    this.#name = make("a", {
      class: "lane-name",
      href: `#/runs/${encodeURIComponent(runId)}/${encodeURIComponent(conceptId)}`,
    });
    this.element = make("li", { "data-lane": conceptId }, this.#name, this.#svg);
  }

  show(concept, bars, scale) {
    setText(this.#name, concept.name);
    this.#name.title = concept.name;
    this.element.dataset.status = concept.status;
    this.#svg.setAttribute("aria-label", laneText(concept, bars));
    const shapes = bars.map((bar) => {
      const x = scale.x(bar.start);
      const width = Math.max(scale.x(bar.end) - x, bar.kind === "waiting" ? 0 : THIN);
      const title = makeSvg("title");
      title.textContent = barText(bar);
      const thick = bar.kind === "waiting" ? 6 : 14;
      return makeSvg(
        "rect",
        {
          class: `bar ${bar.kind}${bar.open ? " open" : ""}${bar.odd ? " odd" : ""}`,
          x: Math.min(x, Scale.width - width).toFixed(2),
          width: width.toFixed(2),
          y: (HEIGHT - thick) / 2,
          height: thick,
        },
        title,
      );
    });
    this.#svg.replaceChildren(...shapes);
  }
}

/** The bars of one step: its phases, the time between them as nothing, and its save. */
function barsOf(step, now) {
  if (step.adopted) return [];
  const began = Date.parse(step.began_at);
  const ended = Date.parse(step.ended_at);
  const common = { step: step.step, model: step.model, open: false };
  const bars = step.phases.map(({ kind, start, seconds }) => ({
    ...common,
    kind,
    start: began + 1000 * start,
    end: began + 1000 * (start + seconds),
  }));
  if (!bars.length && step.seconds) {
    bars.push({ ...common, kind: step.saved ? "calling" : "failed", start: began, end: began + 1000 * step.seconds });
  }
  if (step.open) {
    const last = bars.at(-1);
    if (last && last.end >= ended - 50) {
      last.end = Math.max(now, last.end);
      last.open = true;
    }
  } else if (step.saved) {
    bars.push({ ...common, kind: "saving", start: ended - 1000 * step.saving, end: ended });
  }
  return bars;
}

function laneText({ name, status }, bars) {
  if (!bars.length) return `${name}: ${status}, nothing yet`;
  const facts = KINDS.map(([kind, text]) => {
    const own = bars.filter((bar) => bar.kind === kind);
    if (!own.length || kind === "saving") return null;
    return kind === "refused" || kind === "failed"
      ? `${own.length} ${text}`
      : `${duration(sum(own))} ${text}`;
  });
  const saved = bars.filter((bar) => bar.kind === "saving").length;
  return `${name}: ${status}; ${[...facts.filter(Boolean), `${saved} saved`].join(", ")}`;
}

function barText(bar) {
  const [, text] = KINDS.find(([kind]) => kind === bar.kind);
  const at = new Date(bar.start).toLocaleTimeString();
  const going = bar.open ? ", going on" : "";
  const model = bar.kind === "calling" && bar.model ? ` (${bar.model})` : "";
  return `${bar.step}${model}: ${text} ${duration((bar.end - bar.start) / 1000)} from ${at}${going}`;
}

const sum = (bars) => bars.reduce((total, bar) => total + (bar.end - bar.start) / 1000, 0);

const plural = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

function summary(bars) {
  const of = (kind) => bars.filter((bar) => bar.kind === kind);
  const waited = sum(of("waiting"));
  const called = sum(of("calling"));
  const all = Math.max(waited + called, 0.001);
  const facts = [
    `${duration(called)} in calls (${Math.round((100 * called) / all)} %)`,
    `${duration(waited)} waiting for admission (${Math.round((100 * waited) / all)} %)`,
    of("refused").length ? `${plural(of("refused").length, "call")} refused` : null,
    of("failed").length ? `${plural(of("failed").length, "attempt")} failed` : null,
    `${plural(of("saving").length, "artifact")} saved`,
  ];
  return facts.filter(Boolean).join(" · ");
}

const startText = (time) => new Date(time).toLocaleTimeString();

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  const rest = String(Math.round(seconds % 60)).padStart(2, "0");
  return minutes < 60
    ? `${minutes}:${rest}`
    : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}
