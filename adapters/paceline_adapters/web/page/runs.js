// The list of runs: a row with a progress bar each, updated in place.

import { announceEnd } from "./announce.js";
import { Problem } from "./api.js";
import { duration } from "./format.js";
import { byId, inNextFrame, make, setAttr, setText } from "./dom.js";
import { unfinished } from "./model.js";

const rows = new Map();
let model;
let filter = "";

export const WORDS = {
  queued: "queued",
  running: "running",
  paused: "paused",
  completed: "completed",
  partial: "partial",
  failed: "failed",
  cancelled: "cancelled",
};

/** The status of a run, or what was requested of its worker. */
export function statusText(run) {
  if (run.cancel_requested && unfinished(run)) return "stopping";
  return run.pause_requested && run.status === "running" ? "pausing" : WORDS[run.status];
}

/** A bar of completed and failed concepts, and the numbers next to it. */
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
    this.#done.style.width = `${(100 * run.completed) / total}%`;
    this.#failed.style.width = `${(100 * run.failed) / total}%`;
    setAttr(this.#track, "aria-valuemax", run.total);
    setAttr(this.#track, "aria-valuenow", run.completed);
    setAttr(this.#track, "aria-label", `Concepts of ${run.title}`);
    const failures = run.failed ? `, ${run.failed} failed` : "";
    setAttr(this.#track, "aria-valuetext", `${run.completed} of ${run.total} concepts${failures}`);
    setText(this.#count, `${run.completed}/${run.total}`);
  }
}

class Row {
  #title = make("span", { class: "run-title" });
  #status = make("span", { class: "status" });
  #when = make("time", { class: "when" });
  #failed = make("span", { class: "failures" });
  #reason = make("span", { class: "run-reason", hidden: true });
  #bar = new Bar();

  constructor(runId) {
    this.link = make(
      "a",
      { class: "run", href: `#/runs/${encodeURIComponent(runId)}` },
      make("span", { class: "run-line" }, this.#title, this.#status),
      make("span", { class: "run-line" }, ...this.#bar.parts),
      make("span", { class: "run-line small" }, this.#when, this.#failed),
      this.#reason,
    );
    this.element = make("li", { "data-run": runId }, this.link);
  }

  show(run) {
    this.run = run;
    setAttr(this.element, "data-status", run.status);
    setText(this.#title, run.title);
    setText(this.#status, statusText(run));
    setText(this.#when, when(run));
    setAttr(this.#when, "datetime", run.created_at);
    setText(this.#failed, run.failed ? `${run.failed} failed` : "");
    const reason = run.status === "paused" ? (run.reason ?? "") : "";
    setText(this.#reason, reason);
    this.#reason.hidden = !reason;
    this.#bar.show(run);
  }
}

function when(run) {
  const date = new Date(run.created_at);
  const today = date.toDateString() === new Date().toDateString();
  const at = today ? date.toLocaleTimeString() : date.toLocaleString();
  return unfinished(run) || !run.seconds ? at : `${at} · ${duration(run.seconds)}`;
}

export function startRuns(runsModel) {
  model = runsModel;
  model.listen({
    run(run, known) {
      inNextFrame(`run ${run.run_id}`, () => rowOf(run.run_id).show(model.runs.get(run.run_id)));
      if (known && known.status !== run.status) {
        if (unfinished(known) && !unfinished(run)) announceEnd(run.status, run.title);
        list();
      }
    },
    list,
    fault: (problem) => showEmpty(problem.message),
  });
  byId("filter").addEventListener("change", (event) => {
    filter = event.target.value;
    list();
  });
  byId("older").addEventListener("click", () =>
    model.older().catch((error) => {
      if (error instanceof Problem) showEmpty(error.message);
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

const list = () => inNextFrame("list", order);

const RANKS = { running: 0, queued: 1, paused: 2 };
const rank = (run) => RANKS[run.status] ?? 3;

/** Running runs first, queued ones in the order in which they start, paused ones, ended ones, newest first. */
function inOrder(a, b) {
  const older = a.run_id < b.run_id ? -1 : 1;
  return rank(a) - rank(b) || (a.status === "queued" ? older : -older);
}

/** Sort the rows, and move only those that are not in their place. */
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
  showEmpty(shown.length ? "" : emptyText(wanted));
}

const emptyText = (wanted) =>
  wanted ? "No run has this status." : "No runs yet. Submit the JSON file of a roadmap, or drop it on this page.";

function showEmpty(text) {
  setText(byId("runs-empty"), text);
  byId("runs-empty").hidden = !text;
}

/** The arrow keys move between runs. */
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

/** Mark the run that is open. */
export function markCurrent(runId) {
  for (const [id, row] of rows) setAttr(row.link, "aria-current", id === runId ? "page" : null);
}

/** Focus a run's row, or the heading of the list. */
export function focusRun(runId) {
  const row = rows.get(runId);
  (row?.link.isConnected ? row.link : byId("runs-title")).focus();
}
