// The runs that the page knows: the loaded list, updated by events.

import { Problem, request, runPath, socketAddress } from "./api.js";
import { keepOpen } from "./socket.js";

const PAGE = 100;
// Maximum number of pages to load until a page has a known run.
const MAX_PAGES = 10;
const RETRY_LOAD = 5_000;
// Milliseconds to wait before a run is loaded, to collect several.
const REFRESH = 50;
const UNFINISHED = new Set(["queued", "running", "paused"]);

const pagePath = (before) =>
  `api/runs?limit=${PAGE}&totals=true${before ? `&before=${encodeURIComponent(before)}` : ""}`;

export const unfinished = (run) => UNFINISHED.has(run.status);

const TOTALS = ["artifacts", "artifacts_total", "cost", "currency", "estimated", "eta_seconds"];

function withTotals(run, known) {
  const kept = { ...run };
  for (const name of TOTALS) kept[name] ??= known?.[name];
  return kept;
}

/** Runs by id, and listeners: `run(run)`, `live(sample)`, `connection(state)`, `list()`. */
export class Model {
  runs = new Map();
  before = null;
  /** Whether the list was loaded once. */
  loaded = false;
  #positions = new Map();
  #listeners = [];
  #pending = new Set();
  #refreshTimer = null;
  #reload = 0;
  // Counts changes. An answer to a request that was sent before a change is older than the change.
  #clock = 0;
  #changedAt = new Map();

  listen(listener) {
    this.#listeners.push(listener);
  }

  #notify(what, ...values) {
    for (const listener of this.#listeners) listener[what]?.(...values);
  }

  /** Follow all runs; reconnects by itself, with the position of each known run. */
  follow() {
    keepOpen(
      () => socketAddress("ws/runs", { wait: "true" }),
      {
        opened: (send) => {
          const after = {};
          for (const [runId, position] of this.#positions) {
            if (unfinished(this.runs.get(runId) ?? {})) after[runId] = position;
          }
          send({ type: "follow", level: "roadmap", after });
        },
        message: (message) => this.#received(message),
        lost: () => this.#notify("connection", "lost"),
      },
      { chatty: true },
    );
  }

  #received(message) {
    if (message.type === "hello") {
      this.#notify("connection", "open");
      // Load the list after the socket is open, so that it has runs that ended meanwhile.
      this.load();
    } else if (message.type === "live") this.#notify("live", message);
    else if (message.type === "batch") for (const event of message.events) this.#event(event);
    else this.#event(message);
  }

  #event(event) {
    const { task_id: runId } = event;
    this.#positions.set(runId, `${event.epoch}-${event.offset}`);
    this.#changedAt.set(runId, ++this.#clock);
    if (event.type === "resync_required") return; // a snapshot follows
    const run = this.runs.get(runId);
    if (!run) {
      this.#refreshSoon(runId);
      return;
    }
    const status = event.status;
    if (!UNFINISHED.has(status)) {
      this.#positions.delete(runId);
      this.#refreshSoon(runId); // to get its times
    }
    this.put({
      ...run,
      status,
      reason: event.reason ?? (UNFINISHED.has(status) ? null : run.reason),
      // An event counts concepts. A completed run has all its artifacts, and the request for it follows.
      artifacts: status === "completed" ? (run.artifacts_total ?? run.artifacts) : run.artifacts,
      total: event.progress_total,
      completed: event.progress_current - event.failed,
      failed: event.failed,
      cancel_requested: run.cancel_requested && UNFINISHED.has(status),
      pause_requested: status === "running" ? run.pause_requested : null,
    });
  }

  /** Store a run of the API or of an event. An answer without totals keeps the known ones. */
  put(run) {
    const known = this.runs.get(run.run_id);
    this.runs.set(run.run_id, withTotals(run, known));
    this.#notify("run", run, known);
    if (!known) this.#notify("list");
  }

  /** Store a run without a notice that the list has changed. */
  putQuietly(run) {
    const known = this.runs.get(run.run_id);
    this.runs.set(run.run_id, withTotals(run, known));
    if (known) this.#notify("run", this.runs.get(run.run_id), known);
  }

  /** Add what an answer knows besides the status, which events know earlier. */
  merge(run) {
    const known = this.runs.get(run.run_id);
    if (!known || known.status !== run.status) return;
    const { artifacts, artifacts_total, cost, currency, estimated, seconds, eta_seconds } = run;
    this.putQuietly({ ...known, artifacts, artifacts_total, cost, currency, estimated, seconds, eta_seconds });
  }

  /** Remove a run that the server no longer has. */
  drop(runId) {
    this.runs.delete(runId);
    this.#positions.delete(runId);
    this.#notify("list");
  }

  /** Load a run soon; if there are many, load the list instead. */
  #refreshSoon(runId, pause = REFRESH) {
    this.#pending.add(runId);
    this.#refreshTimer ??= setTimeout(async () => {
      this.#refreshTimer = null;
      const runIds = [...this.#pending];
      this.#pending.clear();
      if (runIds.length > 3) return this.load();
      for (const one of runIds) {
        try {
          await this.refresh(one);
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          if (error.temporary) this.#refreshSoon(one, RETRY_LOAD); // no event may follow
          else if (error.status === 404) this.drop(one);
        }
      }
      return undefined;
    }, pause);
  }

  /** Load the newest runs and all unfinished ones; retry until it succeeds. */
  async load() {
    clearTimeout(this.#reload);
    const sentAt = this.#clock;
    try {
      const [newest, open] = await Promise.all([
        this.#newest(),
        request(`api/runs?status=queued&status=running&status=paused&limit=1000`),
      ]);
      const loaded = [...newest, ...open.runs];
      for (const run of loaded) this.#putIfNewer(run, sentAt);
      const fresh = new Set(loaded.map((one) => one.run_id));
      for (const run of this.runs.values()) {
        // Unfinished here and in neither list: it ended while the page was disconnected.
        if (unfinished(run) && !fresh.has(run.run_id)) await this.#ended(run.run_id);
      }
      this.loaded = true;
      this.#notify("list");
      this.#notify("loaded");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#notify("fault", error);
      this.#reload = setTimeout(() => this.load(), RETRY_LOAD);
    }
  }

  /** The newest runs: one page, or all pages since the newest known run. */
  async #newest() {
    const known = new Set(this.runs.keys());
    const found = [];
    let before = null;
    for (let pages = 0; pages < MAX_PAGES; pages += 1) {
      const page = await request(pagePath(before));
      found.push(...page.runs);
      before = page.before;
      if (!before || !known.size || page.runs.some((one) => known.has(one.run_id))) break;
    }
    const reached = found.some((one) => known.has(one.run_id));
    if (!reached || known.size <= PAGE) this.before = before;
    return found;
  }

  /** Load a run that ended meanwhile. If the server no longer has it, drop it. */
  async #ended(runId) {
    try {
      await this.refresh(runId);
    } catch (error) {
      if (error.status !== 404) throw error;
      this.drop(runId);
    }
  }

  /** Load one run, with its totals. */
  async refresh(runId) {
    const sentAt = this.#clock;
    const run = await request(runPath(runId));
    this.#putIfNewer(run, sentAt);
    return run;
  }

  #putIfNewer(run, sentAt) {
    const changedAt = this.#changedAt.get(run.run_id) ?? 0;
    if (changedAt <= sentAt || !this.runs.has(run.run_id)) this.put(run);
  }
}
