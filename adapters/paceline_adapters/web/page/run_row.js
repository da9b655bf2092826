// The row of one run in the list, and the bar of its progress.

import { moneyText } from "./artifacts.js";
import { make, setAttr, setText } from "./dom.js";
import { duration, moment, roughly } from "./format.js";
import { unfinished } from "./model.js";
import { runAddress } from "./place.js";

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

/** A bar of artifacts, with the share of failed concepts, and the number of concepts next to it. */
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

  /** Show a run. Without a number of artifacts, the bar counts concepts. */
  show(run) {
    const { total, completed, failed, artifacts = null, artifacts_total: all = null } = run;
    const known = artifacts !== null && all;
    const share = run.status === "completed" ? 1 : known ? artifacts / all : completed / Math.max(total, 1);
    const lost = failed / Math.max(total, 1);
    this.#done.style.width = `${100 * Math.min(share, 1 - lost)}%`;
    this.#failed.style.width = `${100 * lost}%`;
    setAttr(this.#track, "aria-valuemax", known ? all : total);
    setAttr(this.#track, "aria-valuenow", known ? Math.min(artifacts, all) : completed);
    setAttr(this.#track, "aria-label", `Progress of ${run.title}`);
    const failures = failed ? `, ${failed} failed` : "";
    const made = known ? `${artifacts} of ${all} artifacts; ` : "";
    const text = `${made}${completed} of ${total} concepts${failures}`;
    setAttr(this.#track, "aria-valuetext", text);
    setAttr(this.#track, "title", text);
    setText(this.#count, `${completed}/${total}`);
  }
}

/** One row; `select(run, on)` is called by its box, which is missing without it. */
export class Row {
  #title = make("span", { class: "run-title" });
  #priority = make("span", { class: "tag" });
  #status = make("span", { class: "status" });
  #when = make("time", { class: "when" });
  #left = make("span", { class: "left" });
  #cost = make("span", { class: "cost" });
  #failed = make("span", { class: "failures" });
  #reason = make("span", { class: "run-reason", hidden: true });
  #bar = new Bar();
  #box = null;

  constructor(runId, select) {
    this.link = make(
      "a",
      { class: "run", href: runAddress(runId) },
      make("span", { class: "run-name" }, this.#title, this.#priority),
      this.#status,
      make("span", { class: "run-line" }, ...this.#bar.parts),
      make("span", { class: "run-facts" }, this.#when, this.#left, this.#cost, this.#failed),
      this.#reason,
    );
    if (select) {
      this.#box = make("input", { type: "checkbox", class: "pick" });
      this.#box.addEventListener("change", () => select(runId, this.#box.checked));
    }
    this.element = make("li", { "data-run": runId }, this.#box, this.link);
  }

  select(on) {
    if (this.#box) this.#box.checked = on;
  }

  show(run) {
    this.run = run;
    setAttr(this.element, "data-status", run.status);
    setText(this.#title, run.title);
    setAttr(this.#title, "title", run.tenant ? `${run.title} (tenant ${run.tenant})` : run.title);
    setText(this.#priority, run.priority === "high" || run.priority === "low" ? run.priority : "");
    setAttr(this.#priority, "title", "Priority among the runs of its tenant");
    setText(this.#status, statusText(run));
    setText(this.#when, whenText(run));
    setAttr(this.#when, "datetime", run.created_at);
    setAttr(this.#when, "title", new Date(run.created_at).toLocaleString());
    setText(this.#left, leftText(run));
    const priced = run.cost !== undefined && run.cost !== null && run.currency;
    setText(this.#cost, priced ? moneyText(run, run.currency) : "");
    setText(this.#failed, run.failed ? `${run.failed} failed` : "");
    const reason = run.status === "paused" ? (run.reason ?? "") : "";
    setText(this.#reason, reason);
    this.#reason.hidden = !reason;
    if (this.#box) setAttr(this.#box, "aria-label", `Select ${run.title}`);
    this.#bar.show(run);
  }
}

/** When a run was submitted, and how long it worked. */
function whenText(run) {
  const at = moment(run.created_at);
  return run.seconds ? `${at} · ${duration(run.seconds)}` : at;
}

/** How long a running run will still take, if the server knows. */
export const leftText = (run) =>
  run.status === "running" && typeof run.eta_seconds === "number"
    ? `about ${roughly(run.eta_seconds)} left`
    : "";
