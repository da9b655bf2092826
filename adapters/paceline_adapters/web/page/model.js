// What the page knows of the runs: the list as it was loaded, and what was told since.

import { Problem, ask, runPath, socketAddress } from "./api.js";
import { keepOpen } from "./socket.js";

const PAGE = 100;
// Pages that are loaded at most to close the gap to the runs that are known already.
const MOST_PAGES = 10;
const RETRY_LOAD = 5_000;
const UNFINISHED = new Set(["queued", "running"]);

const pagePath = (before) =>
  `api/runs?limit=${PAGE}${before ? `&before=${encodeURIComponent(before)}` : ""}`;

export const unfinished = (run) => UNFINISHED.has(run.status);

/** Runs by id, and listeners: `run(run)`, `live(sample)`, `connection(state)`, `list()`. */
export class Model {
  runs = new Map();
  before = null;
  #places = new Map();
  #listeners = [];
  #wanted = new Set();
  #loading = null;
  #reload = 0;
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
      this.#want(runId);
      return;
    }
    const status = event.status;
    if (!UNFINISHED.has(status)) {
      this.#places.delete(runId);
      this.#want(runId); // its times are the store's to tell
    }
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

  /** Ask for a run of which more is to be known; one request for many of a moment. */
  #want(runId) {
    this.#wanted.add(runId);
    this.#loading ??= setTimeout(async () => {
      this.#loading = null;
      const wanted = [...this.#wanted];
      this.#wanted.clear();
      if (wanted.length > 3) return this.load();
      for (const one of wanted) {
        try {
          await this.refresh(one);
        } catch (error) {
          if (!(error instanceof Problem)) throw error;
          if (error.passing) this.#wanted.add(one); // the next event asks again
        }
      }
      return undefined;
    }, 50);
  }

  /** Load the newest runs, and what is unfinished however old it is; again until it succeeds. */
  async load() {
    clearTimeout(this.#reload);
    const asked = this.#clock;
    try {
      const [newest, open] = await Promise.all([
        this.#newest(),
        ask(`api/runs?status=queued&status=running&limit=1000`),
      ]);
      const loaded = [...newest, ...open.runs];
      for (const run of loaded) this.#answered(run, asked);
      const fresh = new Set(loaded.map((one) => one.run_id));
      for (const run of this.runs.values()) {
        // Unfinished here and in neither list: it ended while nobody listened.
        if (unfinished(run) && !fresh.has(run.run_id)) await this.#ended(run.run_id);
      }
      this.#tell("list");
      this.#tell("loaded");
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.#tell("fault", error);
      this.#reload = setTimeout(() => this.load(), RETRY_LOAD);
    }
  }

  /** The newest runs: a page, or as many as came since the newest that is known. */
  async #newest() {
    const known = new Set(this.runs.keys());
    const found = [];
    let before = null;
    for (let pages = 0; pages < MOST_PAGES; pages += 1) {
      const page = await ask(pagePath(before));
      found.push(...page.runs);
      before = page.before;
      if (!before || !known.size || page.runs.some((one) => known.has(one.run_id))) break;
    }
    const reached = found.some((one) => known.has(one.run_id));
    if (!reached || known.size <= PAGE) this.before = before;
    return found;
  }

  /** A run that ended while nobody listened; or the server has another store by now. */
  async #ended(runId) {
    try {
      await this.refresh(runId);
    } catch (error) {
      if (error.status !== 404) throw error;
      this.runs.delete(runId);
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
    const page = await ask(pagePath(this.before));
    this.before = page.before;
    for (const run of page.runs) this.put(run);
    this.#tell("list");
  }
}
