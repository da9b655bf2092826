// What the page knows of the runs: the list as it was loaded, and what was told since.

import { Problem, ask, runPath, socketAddress } from "./api.js";
import { keepOpen } from "./socket.js";

const PAGE = 100;
const UNFINISHED = new Set(["queued", "running"]);

export const unfinished = (run) => UNFINISHED.has(run.status);

/** Runs by id, and listeners: `run(run)`, `live(sample)`, `connection(state)`, `list()`. */
export class Model {
  runs = new Map();
  before = null;
  #places = new Map();
  #listeners = [];
  #unknown = new Set();
  #loading = null;
  // Counts what was told; an answer to a question that was asked before is older than it.
  #clock = 0;
  #toldAt = new Map();

  listen(listener) {
    this.#listeners.push(listener);
  }

  #tell(what, ...values) {
    for (const listener of this.#listeners) listener[what]?.(...values);
  }

  /** Follow all runs; comes again by itself, with the place of each run that it knows. */
  follow() {
    keepOpen(
      () => socketAddress("ws/runs", { wait: "true" }),
      {
        opened: (send) => {
          const after = {};
          for (const [runId, place] of this.#places) {
            if (unfinished(this.runs.get(runId) ?? {})) after[runId] = place;
          }
          send({ type: "follow", level: "roadmap", after });
        },
        message: (message) => this.#heard(message),
        lost: () => this.#tell("connection", "lost"),
      },
      { chatty: true },
    );
  }

  #heard(message) {
    if (message.type === "hello") {
      this.#tell("connection", "open");
      // The socket first, then the list: a run that began and ended meanwhile is in the list.
      this.load();
    } else if (message.type === "live") this.#tell("live", message);
    else if (message.type === "batch") for (const event of message.events) this.#event(event);
    else this.#event(message);
  }

  #event(event) {
    const { task_id: runId } = event;
    this.#places.set(runId, `${event.epoch}-${event.offset}`);
    this.#toldAt.set(runId, ++this.#clock);
    if (event.type === "resync_required") return; // a snapshot follows
    const run = this.runs.get(runId);
    if (!run) {
      this.#unknown.add(runId);
      this.#look();
      return;
    }
    const status = event.status;
    if (!UNFINISHED.has(status)) this.#places.delete(runId);
    this.put({
      ...run,
      status,
      reason: event.reason ?? (UNFINISHED.has(status) ? null : run.reason),
      total: event.progress_total,
      completed: event.progress_current - event.failed,
      failed: event.failed,
      cancel_requested: run.cancel_requested && UNFINISHED.has(status),
    });
  }

  /** Keep a run as the API or an event gave it. */
  put(run) {
    const known = this.runs.get(run.run_id);
    this.runs.set(run.run_id, run);
    this.#tell("run", run, known);
    if (!known) this.#tell("list");
  }

  /** Runs that were told of but never loaded: one request for all of a moment. */
  #look() {
    this.#loading ??= setTimeout(async () => {
      this.#loading = null;
      const wanted = [...this.#unknown];
      this.#unknown.clear();
      if (wanted.length > 3) return this.load();
      for (const runId of wanted) {
        try {
          await this.refresh(runId);
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          if (error.status !== 404) this.#unknown.add(runId); // the next event asks again
        }
      }
      return undefined;
    }, 50);
  }

  /** Load the newest runs, and what is unfinished however old it is. */
  async load() {
    const asked = this.#clock;
    try {
      const [newest, open] = await Promise.all([
        ask(`api/runs?limit=${PAGE}`),
        ask(`api/runs?status=queued&status=running&limit=1000`),
      ]);
      if (!this.before || this.runs.size <= PAGE) this.before = newest.before;
      const loaded = [...newest.runs, ...open.runs];
      for (const run of loaded) this.#answered(run, asked);
      const fresh = new Set(loaded.map((one) => one.run_id));
      for (const run of this.runs.values()) {
        // Unfinished here and in neither list: it ended while nobody listened.
        if (unfinished(run) && !fresh.has(run.run_id)) await this.refresh(run.run_id);
      }
      this.#tell("list");
      this.#tell("loaded");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#tell("fault", error);
    }
  }

  /** Ask for one run, with its totals. */
  async refresh(runId) {
    const asked = this.#clock;
    const run = await ask(runPath(runId));
    this.#answered(run, asked);
    return run;
  }

  #answered(run, asked) {
    const told = this.#toldAt.get(run.run_id) ?? 0;
    if (told <= asked || !this.runs.has(run.run_id)) this.put(run);
  }

  /** Load the next page of older runs. */
  async older() {
    const page = await ask(`api/runs?limit=${PAGE}&before=${encodeURIComponent(this.before)}`);
    this.before = page.before;
    for (const run of page.runs) this.put(run);
    this.#tell("list");
  }
}
