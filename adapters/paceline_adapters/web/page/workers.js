// The workers, and what carries the work: queue, database connections, events, sinks, last errors.

import { announce } from "./announce.js";
import { Problem, request } from "./api.js";
import { Chart } from "./chart.js";
import { control, mayOperate } from "./controls.js";
import { byId, inNextFrame, make, setText } from "./dom.js";
import { duration } from "./format.js";
import { runAddress } from "./place.js";

const EVERY = 2_000;
const ERROR_RUNS = 5;
const ERRORS = 10;
const CHARTS = [
  new Chart("DB connections", "connections", { max: "connections_max" }),
  new Chart("events", "events_per_second", { unit: "/s" }),
];
const rows = new Map();
let timer = 0;
let rounds = 0;
let model;

export function startWorkers(runsModel) {
  model = runsModel;
  byId("system-charts").append(...CHARTS.map((chart) => chart.element));
}

/** Show or hide the view; it loads only while it is shown. */
export function showWorkers(on) {
  clearTimeout(timer);
  byId("workers").hidden = !on;
  rounds = 0;
  if (on) load();
}

/** Show the samples of the last minutes. */
export function showSamples(samples) {
  if (!byId("workers").hidden) for (const chart of CHARTS) chart.show(samples);
}

async function load() {
  clearTimeout(timer);
  timer = setTimeout(load, EVERY);
  if (document.hidden) return;
  try {
    const [workers, sinks, strategy] = await Promise.all([
      request("api/workers"),
      request("api/sinks"),
      request("api/strategy"),
    ]);
    inNextFrame("workers", () => {
      showTable(workers);
      showSinks(sinks.sinks);
      setText(byId("strategy-line"), strategy.strategy.join(" → "));
      setText(byId("strategy-why"), strategy.why);
    });
    if (rounds++ % 5 === 0) await loadErrors();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    setText(byId("workers-note"), error.message);
  }
}

function showTable({ workers, unreachable, queued }) {
  const waits = `${queued === 1 ? "1 roadmap waits" : `${queued} roadmaps wait`} for a worker.`;
  const none = workers.length ? "" : "No worker is running. To start one: paceline worker";
  setText(byId("workers-note"), [none, waits, ...unreachable].filter(Boolean).join(" "));
  byId("workers-table").hidden = !workers.length;
  const ids = new Set(workers.map((one) => one.worker_id));
  for (const [id, row] of rows) {
    if (ids.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
  for (const one of workers) {
    if (!rows.has(one.worker_id)) {
      rows.set(one.worker_id, new WorkerRow(one.worker_id));
      byId("workers-rows").append(rows.get(one.worker_id).element);
    }
    rows.get(one.worker_id).show(one);
  }
}

/** One worker; it is updated in place, so that its button keeps the focus. */
class WorkerRow {
  #process = make("span", { class: "hint" });
  #cells = Array.from({ length: 7 }, () => make("td"));
  #trouble = make("td", { class: "text" });
  #drain = make("button", { type: "button" }, "Drain…");

  constructor(workerId) {
    this.#drain.setAttribute("aria-label", `Drain ${workerId}`);
    this.#drain.addEventListener("click", () => this.#ask(workerId));
    this.element = make(
      "tr",
      { "data-worker": workerId },
      make("th", { scope: "row" }, workerId, this.#process),
      ...this.#cells,
      this.#trouble,
      mayOperate() ? make("td", {}, this.#drain) : null,
    );
  }

  show(one) {
    setText(this.#process, one.pid === null ? "" : `${one.host.split("/")[0]}, pid ${one.pid}`);
    const texts = [
      one.version || "unknown",
      `${one.active.length} of ${one.concurrency}`,
      one.reserved.length,
      one.concepts,
      one.calls,
      one.pool_max ? `${one.connections} of ${one.pool_max}` : one.connections,
      one.beat_age === null ? "none" : `${duration(one.beat_age)} ago`,
    ];
    texts.forEach((text, index) => setText(this.#cells[index], text));
    const trouble = Object.entries(one.trouble);
    const shown = JSON.stringify(trouble);
    if (this.#trouble.dataset.shown === shown) return;
    this.#trouble.dataset.shown = shown;
    const lines = trouble.map(([run, why]) => make("p", {}, link(run), ` ${why}`));
    this.#trouble.replaceChildren(...(lines.length ? lines : ["none"]));
  }

  async #ask(workerId) {
    const what = "It saves its calls in flight, queues its runs again, and exits.";
    if (!confirm(`Drain the worker ${workerId}? ${what}`)) return;
    const problem = byId("workers-problem");
    problem.hidden = true;
    try {
      await control("drain", { worker_id: workerId });
      this.#drain.disabled = true;
      setText(this.#drain, "draining");
      announce(`The worker ${workerId} drains.`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setText(problem, error.message);
      problem.hidden = false;
    }
  }
}

const link = (runId) =>
  make("a", { href: runAddress(runId) }, model.runs.get(runId)?.title ?? runId);

function showSinks(sinks) {
  byId("sinks-part").hidden = !sinks.length;
  const lines = sinks.map((sink) =>
    make(
      "li",
      sink.dead ? { class: "dead" } : {},
      make("b", {}, `Sink ${sink.sink}`),
      ` ${sink.state}`,
      sink.dead ? ` ${sink.dead} dead letters` : null,
      sink.reason ? make("span", { class: "hint" }, ` ${sink.reason}`) : null,
    ),
  );
  byId("sinks").replaceChildren(...lines);
}

/** The last concepts that failed, of the newest runs with failures. */
async function loadErrors() {
  const { runs } = await request(`api/runs?status=partial&status=failed&status=running&limit=20`);
  const failed = runs.filter((run) => run.failed).slice(0, ERROR_RUNS);
  const pages = await Promise.all(
    failed.map((run) =>
      request(`api/runs/${encodeURIComponent(run.run_id)}/concepts?status=failed&limit=${ERRORS}`).then(
        (page) => page.concepts.map((concept) => ({ run, concept })),
      ),
    ),
  );
  const lines = pages
    .flat()
    .slice(0, ERRORS)
    .map(({ run, concept }) =>
      make(
        "li",
        {},
        make(
          "a",
          { href: `${runAddress(run.run_id)}/${encodeURIComponent(concept.concept_id)}` },
          `${run.title}: ${concept.name}`,
        ),
        make("p", { class: "reason" }, concept.reason ?? ""),
      ),
    );
  byId("errors-empty").hidden = lines.length > 0;
  byId("errors").replaceChildren(...lines);
}
