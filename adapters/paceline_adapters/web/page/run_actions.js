// What can be done with a run, and when.

import { unfinished } from "./model.js";

export const active = (run) => run.status === "queued" || run.status === "running";
const resumable = (run) => !active(run) && run.status !== "completed";
const missing = (run) => run.total - run.completed - run.failed;

/** Whether a run is paused because its own budget is spent: it continues with a larger one. */
export const needsBudget = (run) => run.status === "paused" && /^budget: .*--budget/.test(run.reason ?? "");

export const deletable = (run) => run.status !== "running";

/** The actions: the end of their route, their button, and whether a run allows them. */
export const ACTIONS = [
  { action: "cancel", label: "Cancel", can: (run) => unfinished(run) && !run.cancel_requested },
  {
    action: "pause",
    label: "Pause",
    can: (run) => active(run) && !run.cancel_requested && !run.pause_requested,
  },
  { action: "resume", label: "Resume", can: (run) => resumable(run) && (missing(run) > 0 || !run.failed) },
  { action: "resume?only=failed", label: "Retry failed", can: (run) => resumable(run) && run.failed > 0 && !needsBudget(run) },
];
