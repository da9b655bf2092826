// The list of runs: one row and one progress bar each, changed in place.

import { announceEnd } from "./announce.js";
import { Problem } from "./api.js";
import { byId, inFrame, make, mark, say } from "./dom.js";
import { unfinished } from "./model.js";

const rows = new Map();
let model;
let filter = "";

export const WORDS = {
  queued: "queued",
  running: "running",
  completed: "completed",
  partial: "partial",
  failed: "failed",
  cancelled: "cancelled",
};

/** A bar of what is completed and what failed, with the numbers beside it. */
export class Bar {
  #done = make("span", { class: "bar-done" });
  #failed = make("span", { class: "bar-failed" });
  #track = make(
    "span",
    { class: "progress", role: "progressbar", "aria-valuemin": "0" },
    this.#done,
    this.#failed,
  );
  #count = make("span", { class: "count" });
  parts = [this.#track, this.#count];

  show(run) {
    const total = Math.max(run.total, 1);
    const finished = run.completed + run.failed;
    this.#done.style.width = `${(100 * run.completed) / total}%`;
    this.#failed.style.width = `${(100 * run.failed) / total}%`;
    mark(this.#track, "aria-valuemax", run.total);
    mark(this.#track, "aria-valuenow", finished);
    mark(this.#track, "aria-label", `Concepts of ${run.title}`);
    const failures = run.failed ? `, ${run.failed} failed` : "";
    mark(this.#track, "aria-valuetext", `${finished} of ${run.total} concepts${failures}`);
    say(this.#count, `${finished}/${run.total}`);
  }
}

class Row {
  #title = make("span", { class: "run-title" });
  #status = make("span", { class: "status" });
  #when = make("time", { class: "when" });
  #failed = make("span", { class: "failures" });
  #bar = new Bar();

  constructor(runId) {
    this.link = make(
      "a",
      { class: "run", href: `#/runs/${encodeURIComponent(runId)}` },
      make("span", { class: "run-line" }, this.#title, this.#status),
      make("span", { class: "run-line" }, ...this.#bar.parts),
      make("span", { class: "run-line small" }, this.#when, this.#failed),
    );
    this.element = make("li", { "data-run": runId }, this.link);
  }

  show(run) {
    this.run = run;
    const stopping = run.cancel_requested && unfinished(run);
    mark(this.element, "data-status", run.status);
    say(this.#title, run.title);
    say(this.#status, stopping ? "stopping" : WORDS[run.status]);
    say(this.#when, when(run));
    mark(this.#when, "datetime", run.created_at);
    say(this.#failed, run.failed ? `${run.failed} failed` : "");
    this.#bar.show(run);
  }
}

function when(run) {
  const date = new Date(run.created_at);
  const today = date.toDateString() === new Date().toDateString();
  const at = today ? date.toLocaleTimeString() : date.toLocaleString();
  if (!run.finished_at || !run.started_at || unfinished(run)) return at;
  return `${at} · ${duration((Date.parse(run.finished_at) - Date.parse(run.started_at)) / 1000)}`;
}

export function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes} min ${Math.round(seconds % 60)} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function startRuns(runsOf) {
  model = runsOf;
  model.listen({
    run(run, known) {
      inFrame(`run ${run.run_id}`, () => rowOf(run.run_id).show(model.runs.get(run.run_id)));
      if (known && known.status !== run.status) {
        if (unfinished(known) && !unfinished(run)) announceEnd(run.status, run.title);
        list();
      }
    },
    list,
    fault: (problem) => empty(problem.message),
  });
  byId("filter").addEventListener("change", (event) => {
    filter = event.target.value;
    list();
  });
  byId("older").addEventListener("click", () =>
    model.older().catch((error) => {
      if (error instanceof Problem) empty(error.message);
      else throw error;
    }),
  );
  byId("runs").addEventListener("keydown", moveFocus);
}

function rowOf(runId) {
  let row = rows.get(runId);
  if (!row) {
    row = new Row(runId);
    rows.set(runId, row);
  }
  return row;
}

const list = () => inFrame("list", order);

const RANKS = { running: 0, queued: 1 };
const rank = (run) => RANKS[run.status] ?? 2;

/** Those at work, then those that wait, the next one first, then what ended, the newest first. */
function inOrder(a, b) {
  const older = a.run_id < b.run_id ? -1 : 1;
  return rank(a) - rank(b) || (a.status === "queued" ? older : -older);
}

/** Puts the rows in order: moves only what is not in its place. */
function order() {
  const wanted = filter ? filter.split(",") : null;
  const shown = [...model.runs.values()]
    .filter((run) => !wanted || wanted.includes(run.status))
    .sort(inOrder);
  const place = byId("runs");
  const focused = document.activeElement;
  shown.forEach((run, index) => {
    const row = rowOf(run.run_id);
    if (row.run !== run) row.show(run);
    if (place.children[index] !== row.element) {
      place.insertBefore(row.element, place.children[index] ?? null);
    }
  });
  while (place.children.length > shown.length) place.lastElementChild.remove();
  if (place.contains(focused) && document.activeElement !== focused) focused.focus();
  byId("older").hidden = !model.before;
  empty(shown.length ? "" : noneText(wanted));
}

const noneText = (wanted) =>
  wanted ? "No run is like that." : "No runs yet. Submit a roadmap, or drop its file on this page.";

function empty(text) {
  say(byId("runs-empty"), text);
  byId("runs-empty").hidden = !text;
}

/** Arrow keys go from run to run. */
function moveFocus(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const links = [...byId("runs").querySelectorAll("a")];
  const next = links[links.indexOf(document.activeElement) + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

/** Mark the run that is looked at. */
export function current(runId) {
  for (const [id, row] of rows) mark(row.link, "aria-current", id === runId ? "page" : null);
}

/** Put the focus on a run's row, or on the list's heading. */
export function focusRun(runId) {
  const row = rows.get(runId);
  (row?.link.isConnected ? row.link : byId("runs-title")).focus();
}
