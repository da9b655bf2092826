// One run: its head with its buttons, and its concepts, updated by each event.

import { Problem, request, runPath, socketAddress } from "./api.js";
import { announce } from "./announce.js";
import { spentText } from "./artifacts.js";
import { conceptChanged } from "./concept.js";
import { ConceptList } from "./concepts.js";
import { askBudget } from "./budget_form.js";
import { askRevision } from "./revise.js";
import { byId, inNextFrame, make, setAttr, setText } from "./dom.js";
import { unfinished } from "./model.js";
import { duration, moment } from "./format.js";
import { setShown, shown } from "./place.js";
import { ACTIONS, active, deletable, needsBudget } from "./run_actions.js";
import { Bar, leftText, statusText, WORDS } from "./run_row.js";
import { Timeline } from "./timeline.js";
import { keepOpen } from "./socket.js";

const PAGE = 1000;
// Milliseconds to wait before a reload: after events and new versions, to collect several, and
// after a failure.
const SOON = 300;
const REVISED = 1_000;
const RETRY = 5_000;

/** The state of a run as text, to compare. A revised run may end as it ended before. */
const stateText = (run) => `${run.status} ${run.completed} ${run.failed} ${run.finished_at}`;

/** When a run was submitted, started and ended, and its tenant. */
function datesText(run) {
  const dates = [
    ["submitted", run.created_at],
    ["started", run.started_at],
    ["ended", run.finished_at],
  ];
  const texts = dates.filter(([, at]) => at).map(([what, at]) => `${what} ${moment(at)}`);
  return [...texts, run.tenant ? `tenant ${run.tenant}` : null].filter(Boolean).join(" · ");
}

/** Copy a text; returns whether the browser allowed it. */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** The view of one run; `close()` it before you open another. */
export class RunView {
  #title = make("h2", { id: "detail-title", tabindex: "-1" });
  #status = make("p", { class: "status" });
  #reason = make("p", { class: "problem", hidden: true });
  #waits = make("p", { class: "run-waits", hidden: true });
  #problem = make("p", { class: "problem", role: "alert", hidden: true });
  #facts = make("p", { class: "facts" });
  #notice = make("p", { class: "hint", hidden: true });
  #bar = new Bar();
  #progress = make("div", { class: "run-line", hidden: true }, ...this.#bar.parts);
  #buttons = new Map();
  #stale = make("button", { type: "button", hidden: true, onclick: () => this.#revise() });
  #body = make("div", {}, make("p", { class: "empty" }, "Loading…"));
  #totals = null;
  #tabs = new Map();
  #timeline;
  #list = null;
  #stream = null;
  #position = null;
  #clock = 0;
  #changedAt = new Map();
  #reload = 0;
  #closed = false;
  #loadedState = "";
  #opening = false;
  #loading = false;
  #listed = false;
  #id = make("span", { class: "run-id" });

  constructor(model, runId, mayWrite) {
    this.model = model;
    this.runId = runId;
    this.mayWrite = mayWrite;
    for (const { action, label } of ACTIONS) {
      const button = make("button", { type: "button", hidden: true }, label);
      button.addEventListener("click", () => this.#act(action, label, button));
      if (mayWrite) this.#buttons.set(action, button);
    }
    const remove = make("button", { type: "button", hidden: true }, "Delete…");
    remove.addEventListener("click", () => this.#delete(remove));
    if (mayWrite) this.#buttons.set("delete", remove);
    this.#timeline = new Timeline(runId, () => !this.#closed && unfinished(model.runs.get(runId) ?? {}));
    byId("detail").replaceChildren(
      make("a", { class: "back", href: "#/" }, "← All runs"),
      make("div", { class: "detail-head" }, this.#title, this.#status),
      this.#progress,
      this.#facts,
      this.#idLine(),
      make("div", { class: "actions" }, ...this.#buttons.values(), ...(mayWrite ? [this.#stale] : [])),
      this.#problem,
      this.#reason,
      this.#waits,
      this.#notice,
      this.#makeTabs(),
      this.#timeline.element,
      this.#body,
    );
    this.#choose(shown().get("tab") === "timeline" ? "timeline" : "concepts");
  }

  #idLine() {
    const copy = make("button", { type: "button", class: "quiet" }, "Copy id");
    copy.addEventListener("click", async () => {
      const copied = await copyText(this.runId);
      setText(copy, copied ? "Copied" : "Not copied");
      announce(copied ? "The run id was copied." : "The run id could not be copied.");
      setTimeout(() => setText(copy, "Copy id"), 2_000);
    });
    return make("p", { class: "hint run-ids" }, make("code", {}, this.runId), copy, this.#id);
  }

  #makeTabs() {
    for (const name of ["concepts", "timeline"]) {
      const tab = make("button", { type: "button", role: "tab", id: `run-tab-${name}` }, name);
      tab.addEventListener("click", () => this.#choose(name));
      tab.addEventListener("keydown", ({ key }) => {
        if (key !== "ArrowLeft" && key !== "ArrowRight") return;
        const other = name === "concepts" ? "timeline" : "concepts";
        this.#choose(other);
        this.#tabs.get(other).focus();
      });
      this.#tabs.set(name, tab);
    }
    return make("div", { role: "tablist", class: "tabs", "aria-label": "Views of the run" }, ...this.#tabs.values());
  }

  /** Show the concepts or the timeline; the address keeps which. */
  #choose(name) {
    for (const [other, tab] of this.#tabs) {
      setAttr(tab, "aria-selected", String(other === name));
      tab.tabIndex = other === name ? 0 : -1;
    }
    this.#body.hidden = name !== "concepts";
    this.#timeline.show(name === "timeline");
    setShown({ tab: name === "timeline" ? name : null });
  }

  /** Load the run and follow it. */
  async open() {
    const known = this.model.runs.get(this.runId);
    if (known) this.update(known);
    this.#opening = true;
    try {
      const [run, roadmap] = await Promise.all([
        this.model.refresh(this.runId),
        request(`${runPath(this.runId)}/roadmap`),
      ]);
      if (this.#closed) return;
      this.#list = new ConceptList(this.runId, roadmap);
      this.#body.replaceChildren(this.#list.element);
      this.#totals = run;
      this.#loadedState = stateText(run);
      this.#problem.hidden = true;
      this.update(this.model.runs.get(this.runId));
      await this.#load();
    } catch (error) {
      this.#fault(error);
      if (this.#list) this.#loadSoon(RETRY);
      else {
        this.#body.replaceChildren();
        if (error.temporary) this.#reload = setTimeout(() => this.reconnected(), RETRY);
      }
    } finally {
      this.#opening = false;
    }
  }

  /** Show the run as the list knows it; follow it if it is unfinished again. */
  update(run) {
    inNextFrame(`detail ${this.runId}`, () => this.#show(run));
    if (this.#closed || !this.#list || this.#stream) return;
    if (this.#timeline.shown && unfinished(run)) this.#timeline.load();
    if (unfinished(run)) this.#follow();
    else if (this.#loadedState !== stateText(run)) {
      // It was resumed and ended again before this view followed it.
      this.#loadedState = stateText(run);
      this.#loadSoon();
    }
  }

  #show(run) {
    if (this.#closed) return;
    setText(this.#title, run.title);
    setAttr(this.#status, "data-status", run.status);
    setText(this.#status, statusText(run));
    const { artifacts, artifactsTotal } = this.#made(run);
    this.#bar.show({ ...run, artifacts, artifacts_total: artifactsTotal });
    this.#progress.hidden = false;
    setText(this.#reason, run.reason ?? "");
    this.#reason.hidden = !run.reason;
    const waits = active(run) ? this.#totals?.waits : null;
    setText(this.#waits, waits ? `It waits, because ${waits}.` : "");
    this.#waits.hidden = !waits;
    setText(this.#facts, this.#factsText(run));
    setText(this.#id, datesText(run));
    for (const { action, can } of ACTIONS) {
      const button = this.#buttons.get(action);
      if (button) button.hidden = !can(run);
      if (button && action === "resume") setText(button, needsBudget(run) ? "Resume…" : "Resume");
    }
    const remove = this.#buttons.get("delete");
    if (remove) remove.hidden = !deletable(run);
    this.#showStale();
  }

  /** Number of artifacts: those that the list of concepts shows, once it is loaded. */
  #made(run) {
    const known = this.#listed ? this.#list.artifacts : this.#totals?.artifacts;
    return {
      artifacts: known ?? run.artifacts ?? null,
      artifactsTotal: this.#totals?.artifacts_total ?? run.artifacts_total ?? null,
    };
  }

  #showStale() {
    const stale = this.#list?.stale ?? 0;
    this.#stale.hidden = !this.mayWrite || !stale;
    setText(this.#stale, `Revise stale (${stale})`);
  }

  #revise() {
    const count = this.#list.stale;
    const [artifacts, calls] = count === 1 ? ["artifact is", "call"] : ["artifacts are", "calls"];
    askRevision({
      runId: this.runId,
      title: "Revise what is stale",
      hint: `${count} ${artifacts} stale. This makes at least ${count} ${calls}.`,
      what: { where: "stale" },
      requested: ({ run, artifacts: made }) => {
        this.model.put(run);
        announce(`${made.length} artifacts are made again.`);
        this.#loadSoon();
      },
      closed: () => (this.#stale.hidden ? this.#title : this.#stale).focus(),
    });
  }

  #factsText(run) {
    const totals = this.#totals;
    const generating = this.#list?.count("generating") ?? 0;
    const took = !active(run) && totals?.seconds ? duration(totals.seconds) : null;
    const facts = [
      active(run) ? `${generating} generating` : null,
      `${run.completed} completed`,
      run.failed ? `${run.failed} failed` : null,
      totals ? spentText(totals, totals.currency) : null,
      took,
      leftText(run),
      run.priority && run.priority !== "normal" ? `${run.priority} priority` : null,
      `executor ${run.executor}`,
    ];
    return facts.filter(Boolean).join(" · ");
  }

  /** The server is reachable again: continue after the last position, or open the run. */
  reconnected() {
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
        const query = { level: "concept", ...(this.#position ? { after: this.#position } : {}) };
        return socketAddress(`ws/runs/${encodeURIComponent(this.runId)}`, query);
      },
      {
        message: (event) => this.#event(event),
        ended: () => {
          this.#stream = null;
        },
      },
    );
  }

  #event(event) {
    if (event.type === "hello" || this.#closed) return;
    this.#position = `${event.epoch}-${event.offset}`;
    if (event.type === "content_generation_note") {
      this.#note(event);
      return;
    }
    if (event.type !== "content_generation_progress") {
      // The state of the whole run: reload the concepts.
      this.#loadSoon();
      return;
    }
    const id = event.concept_id;
    this.#changedAt.set(id, ++this.#clock);
    const known = this.#list.get(id);
    const steps = known?.steps ?? [];
    const revised = event.step && steps.includes(event.step);
    this.#list.put({
      concept_id: id,
      status: event.status === "generating" ? "pending" : event.status,
      generating: event.status === "generating",
      reason: event.reason,
      note: null,
      steps: event.step && !revised ? [...steps, event.step] : steps,
    });
    if (revised) this.#loadSoon(REVISED); // other artifacts may be stale now
    // More concepts have finished than we have events for: some events were lost.
    if (event.progress_current > this.#list.finished && !this.#loading) this.#loadSoon();
    const run = this.model.runs.get(this.runId);
    if (run) this.update(run);
    conceptChanged(this.runId, id);
  }

  /** Show a step's note at its concept, and one of the run above them; a note changes no state. */
  #note({ concept_id: id, step, reason: note }) {
    if (id === null) {
      setText(this.#notice, note);
      this.#notice.hidden = false;
      announce(`${this.#title.textContent}: ${note}`);
    }
    if (this.#list.get(id)) this.#list.put({ concept_id: id, note: `${step}: ${note}` });
  }

  #loadSoon(pause = SOON) {
    this.#reload ||= setTimeout(async () => {
      this.#reload = 0;
      if (this.#loading) return this.#loadSoon(pause); // load again after the current load
      try {
        await this.#load();
        if (pause === RETRY) this.#problem.hidden = true;
      } catch (error) {
        this.#fault(error);
        if (error.temporary) this.#loadSoon(RETRY);
      }
      return undefined;
    }, pause);
  }

  /** Load all concepts. Events that arrive meanwhile are newer than the answer. */
  async #load() {
    const sentAt = this.#clock;
    let after = null;
    this.#loading = true;
    try {
      do {
        const query = after === null ? "" : `&after=${encodeURIComponent(after)}`;
        const page = await request(`${runPath(this.runId)}/concepts?limit=${PAGE}${query}`);
        if (this.#closed) return;
        for (const one of page.concepts) {
          if ((this.#changedAt.get(one.concept_id) ?? 0) <= sentAt) this.#list.put(one);
        }
        after = page.after;
      } while (after !== null);
      this.#totals = await this.model.refresh(this.runId);
      this.#listed = true;
    } finally {
      this.#loading = false;
    }
    this.#loadedState = stateText(this.#totals);
    if (this.#timeline.shown) this.#timeline.load();
    this.update(this.model.runs.get(this.runId));
    conceptChanged(this.runId);
  }

  /** What it waits for may have changed: load the run, without its concepts. */
  async refresh() {
    const run = this.model.runs.get(this.runId);
    if (!this.#listed || !run || !unfinished(run)) return;
    try {
      this.#totals = await this.model.refresh(this.runId);
      this.update(this.model.runs.get(this.runId));
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // the next change loads it again
    }
  }

  #askBudget(run, button) {
    askBudget(run, {
      cost: this.#totals?.cost,
      currency: this.#totals?.currency ?? "",
      resumed: (now) => this.#acted(now, "Resume"),
      closed: () => (button.hidden ? this.#title : button).focus(),
    });
  }

  #acted(run, label) {
    this.model.put(run);
    announce(`${label}: ${run.title} is ${WORDS[run.status]}.`);
    this.#loadSoon();
    this.#title.focus(); // the button disappears
  }

  async #act(action, label, button) {
    const known = this.model.runs.get(this.runId);
    if (action === "resume" && known && needsBudget(known)) return this.#askBudget(known, button);
    button.disabled = true;
    this.#problem.hidden = true;
    try {
      const { run } = await request(`${runPath(this.runId)}/${action}`, { method: "POST" });
      this.#acted(run, label);
    } catch (error) {
      this.#fault(error);
    } finally {
      button.disabled = false;
    }
    return undefined;
  }

  async #delete(button) {
    const { title } = this.model.runs.get(this.runId);
    if (!confirm(`Delete the run of “${title}” with all its content? This cannot be undone.`)) return;
    button.disabled = true;
    this.#problem.hidden = true;
    try {
      await request(runPath(this.runId), { method: "DELETE", as: "text" });
      announce(`Deleted: ${title}.`);
      this.model.drop(this.runId);
      location.hash = "#/";
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
    setText(this.#title, this.#title.textContent || "Run");
    setText(this.#problem, title === message ? message : `${title}: ${message}`);
    this.#problem.hidden = false;
  }

  /** Something was changed with the page: load the concepts again. */
  reload() {
    if (this.#list) this.#loadSoon();
  }

  focus(conceptId) {
    if (conceptId && this.#list) this.#list.focus(conceptId);
    else this.#title.focus();
  }

  close() {
    this.#closed = true;
    this.#timeline.close();
    clearTimeout(this.#reload);
    this.#stream?.close();
  }
}
