// One run: its head with what can be done, and its concepts, followed event by event.

import { Problem, ask, runPath, socketAddress } from "./api.js";
import { announce } from "./announce.js";
import { conceptChanged } from "./concept.js";
import { ConceptList } from "./concepts.js";
import { byId, inFrame, make, mark, say } from "./dom.js";
import { unfinished } from "./model.js";
import { Bar, WORDS, duration } from "./runs.js";
import { keepOpen } from "./socket.js";

const PAGE = 1000;
// Milliseconds: several events in a row are one question; a question that failed is asked again.
const SOON = 300;
const RETRY = 5_000;
const ACTIONS = [
  ["cancel", "Cancel", (run) => unfinished(run) && !run.cancel_requested],
  ["resume", "Resume", (run) => run.status === "cancelled"],
  ["retry", "Retry failed", (run) => run.status === "partial" || run.status === "failed"],
];

/** Where a run stands, to be compared. */
const standing = (run) => `${run.status} ${run.completed} ${run.failed}`;

/** What is shown of a run; `close()` it before another is shown. */
export class RunView {
  #title = make("h2", { id: "detail-title", tabindex: "-1" });
  #status = make("p", { class: "status" });
  #reason = make("p", { class: "problem", hidden: true });
  #problem = make("p", { class: "problem", role: "alert", hidden: true });
  #facts = make("p", { class: "facts" });
  #bar = new Bar();
  #progress = make("div", { class: "run-line", hidden: true }, ...this.#bar.parts);
  #buttons = new Map();
  #body = make("div", {}, make("p", { class: "empty" }, "Loading…"));
  #totals = null;
  #list = null;
  #stream = null;
  #place = null;
  #clock = 0;
  #toldAt = new Map();
  #reload = 0;
  #closed = false;
  #asOf = "";
  #opening = false;
  #asking = false;

  constructor(model, runId, mayWrite) {
    this.model = model;
    this.runId = runId;
    for (const [action, label] of ACTIONS) {
      const button = make("button", { type: "button", hidden: true }, label);
      button.addEventListener("click", () => this.#act(action, label, button));
      if (mayWrite) this.#buttons.set(action, button);
    }
    byId("detail").replaceChildren(
      make("a", { class: "back", href: "#/" }, "← All runs"),
      make("div", { class: "detail-head" }, this.#title, this.#status),
      this.#progress,
      this.#facts,
      make("div", { class: "actions" }, ...this.#buttons.values()),
      this.#problem,
      this.#reason,
      this.#body,
    );
  }

  /** Load the run, and follow it. */
  async open() {
    const known = this.model.runs.get(this.runId);
    if (known) this.update(known);
    this.#opening = true;
    try {
      const [run, roadmap] = await Promise.all([
        this.model.refresh(this.runId),
        ask(`${runPath(this.runId)}/roadmap`),
      ]);
      if (this.#closed) return;
      this.#list = new ConceptList(this.runId, roadmap);
      this.#body.replaceChildren(this.#list.element);
      this.#totals = run;
      this.#asOf = standing(run);
      this.#problem.hidden = true;
      this.update(this.model.runs.get(this.runId));
      await this.#load();
    } catch (error) {
      this.#fault(error);
      if (this.#list) this.#loadSoon(RETRY);
      else {
        this.#body.replaceChildren();
        if (error.passing) this.#reload = setTimeout(() => this.again(), RETRY);
      }
    } finally {
      this.#opening = false;
    }
  }

  /** Show where the run stands, as the list knows it; follow it if it goes on again. */
  update(run) {
    inFrame(`detail ${this.runId}`, () => this.#show(run));
    if (this.#closed || !this.#list || this.#stream) return;
    if (unfinished(run)) this.#follow();
    else if (this.#asOf !== standing(run)) {
      // It went on and ended again before it was followed.
      this.#asOf = standing(run);
      this.#loadSoon();
    }
  }

  #show(run) {
    if (this.#closed) return;
    const stopping = run.cancel_requested && unfinished(run);
    say(this.#title, run.title);
    mark(this.#status, "data-status", run.status);
    say(this.#status, stopping ? "stopping" : WORDS[run.status]);
    this.#bar.show(run);
    this.#progress.hidden = false;
    say(this.#reason, run.reason ?? "");
    this.#reason.hidden = !run.reason;
    say(this.#facts, this.#factsOf(run));
    for (const [action, , can] of ACTIONS) {
      const button = this.#buttons.get(action);
      if (button) button.hidden = !can(run);
    }
  }

  #factsOf(run) {
    const totals = this.#totals;
    const generating = this.#list?.count("generating") ?? 0;
    const tokens = totals ? totals.prompt_tokens + totals.completion_tokens : 0;
    const took =
      !unfinished(run) && totals?.started_at && totals.finished_at
        ? duration((Date.parse(totals.finished_at) - Date.parse(totals.started_at)) / 1000)
        : null;
    const facts = [
      unfinished(run) ? `${generating} generating` : null,
      `${run.completed} completed`,
      run.failed ? `${run.failed} failed` : null,
      tokens ? `${tokens.toLocaleString()} tokens` : null,
      totals?.cost ? `${totals.cost.toFixed(2)} cost` : null,
      took,
      run.executor,
    ];
    return facts.filter(Boolean).join(" · ");
  }

  /** The server was away: go on where this was, or begin if it never did. */
  again() {
    clearTimeout(this.#reload);
    this.#reload = 0;
    if (!this.#list && !this.#opening) this.open();
    else if (this.#stream) {
      this.#stream.close();
      this.#follow();
    } else if (this.#list) this.#loadSoon();
  }

  #follow() {
    this.#stream = keepOpen(
      () => {
        const query = { level: "concept", ...(this.#place ? { after: this.#place } : {}) };
        return socketAddress(`ws/runs/${encodeURIComponent(this.runId)}`, query);
      },
      {
        message: (event) => this.#event(event),
        over: () => {
          this.#stream = null;
        },
      },
    );
  }

  #event(event) {
    if (event.type === "hello" || this.#closed) return;
    this.#place = `${event.epoch}-${event.offset}`;
    if (event.type !== "content_generation_progress") {
      // Where the run stands: the concepts themselves are asked for.
      this.#loadSoon();
      return;
    }
    const id = event.concept_id;
    this.#toldAt.set(id, ++this.#clock);
    const known = this.#list.get(id);
    const steps = known?.steps ?? [];
    this.#list.put({
      concept_id: id,
      status: event.status === "generating" ? "pending" : event.status,
      generating: event.status === "generating",
      reason: event.reason,
      steps: event.step && !steps.includes(event.step) ? [...steps, event.step] : steps,
    });
    // More has finished than was told: what is missing was lost on its way here.
    if (event.progress_current > this.#list.finished && !this.#asking) this.#loadSoon();
    const run = this.model.runs.get(this.runId);
    if (run) this.update(run);
    conceptChanged(this.runId, id);
  }

  #loadSoon(pause = SOON) {
    this.#reload ||= setTimeout(async () => {
      this.#reload = 0;
      if (this.#asking) return this.#loadSoon(pause); // what came meanwhile is asked for after it
      try {
        await this.#load();
        if (pause === RETRY) this.#problem.hidden = true;
      } catch (error) {
        this.#fault(error);
        if (error.passing) this.#loadSoon(RETRY);
      }
      return undefined;
    }, pause);
  }

  /** Ask for all concepts; what was told meanwhile is newer than the answer. */
  async #load() {
    const asked = this.#clock;
    let after = null;
    this.#asking = true;
    try {
      do {
        const query = after === null ? "" : `&after=${encodeURIComponent(after)}`;
        const page = await ask(`${runPath(this.runId)}/concepts?limit=${PAGE}${query}`);
        if (this.#closed) return;
        for (const one of page.concepts) {
          if ((this.#toldAt.get(one.concept_id) ?? 0) <= asked) this.#list.put(one);
        }
        after = page.after;
      } while (after !== null);
      this.#totals = await this.model.refresh(this.runId);
    } finally {
      this.#asking = false;
    }
    this.#asOf = standing(this.#totals);
    this.update(this.model.runs.get(this.runId));
    conceptChanged(this.runId);
  }

  async #act(action, label, button) {
    button.disabled = true;
    this.#problem.hidden = true;
    try {
      const { run } = await ask(`${runPath(this.runId)}/${action}`, { method: "POST" });
      this.model.put(run);
      announce(`${label}: ${run.title} is ${WORDS[run.status]}.`);
      this.#loadSoon();
      this.#title.focus(); // the button goes away
    } catch (error) {
      this.#fault(error);
    } finally {
      button.disabled = false;
    }
  }

  #fault(error) {
    if (!(error instanceof Problem)) throw error;
    if (this.#closed) return;
    const { title, message } = error;
    say(this.#title, this.#title.textContent || "Run");
    say(this.#problem, title === message ? message : `${title}: ${message}`);
    this.#problem.hidden = false;
  }

  focus(conceptId) {
    if (conceptId && this.#list) this.#list.focus(conceptId);
    else this.#title.focus();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#reload);
    this.#stream?.close();
  }
}
