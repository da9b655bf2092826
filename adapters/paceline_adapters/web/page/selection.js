// Actions on many runs: what is selected, and one request per run.

import { announce } from "./announce.js";
import { Problem, request, runPath } from "./api.js";
import { byId, make, setText } from "./dom.js";
import { ACTIONS, deletable, needsBudget } from "./run_actions.js";

const AT_ONCE = 4;
// A run that needs a larger budget is resumed alone, because the page asks for the budget.
const BULK = [
  ...ACTIONS.map((one) => ({ ...one, can: (run) => one.can(run) && !(one.action === "resume" && needsBudget(run)) })),
  { action: "delete", label: "Delete…", can: deletable },
];
// What cannot be undone, or stops work that was paid for, asks first.
const QUESTIONS = {
  cancel: (few) => `Cancel ${few}?`,
  delete: (few) => `Delete ${few} with all their content? This cannot be undone.`,
};
const selected = new Set();
let model;
let changed = () => {};

/** Prepare the bar of actions; `onChange()` is called when the selection changed by the bar. */
export function startSelection(runsModel, onChange) {
  model = runsModel;
  changed = onChange;
  const buttons = BULK.map(({ action, label, can }) =>
    make(
      "button",
      { type: "button", "data-action": action, onclick: () => act(action, label.replace("…", ""), can) },
      label,
    ),
  );
  byId("selection-actions").append(
    ...buttons,
    make("button", { type: "button", class: "quiet", onclick: clear }, "Clear"),
  );
}

export const isSelected = (runId) => selected.has(runId);

/** Select runs, or not. */
export function select(runIds, on) {
  for (const runId of runIds) if (on) selected.add(runId);
  else selected.delete(runId);
  show();
}

function clear() {
  selected.clear();
  show();
  changed();
}

function show(text) {
  byId("selection").hidden = !selected.size && !text;
  setText(byId("selection-text"), text ?? `${selected.size} selected`);
  for (const button of byId("selection-actions").querySelectorAll("[data-action]")) {
    const { can } = BULK.find((one) => one.action === button.dataset.action);
    button.hidden = !chosen(can).length;
  }
}

/** The selected runs that an action applies to. */
const chosen = (can) => [...selected].map((id) => model.runs.get(id)).filter((run) => run && can(run));

async function steer(run, action) {
  if (action === "delete") {
    await request(runPath(run.run_id), { method: "DELETE", as: "text" });
    model.drop(run.run_id);
    return;
  }
  const answer = await request(`${runPath(run.run_id)}/${action}`, { method: "POST" });
  model.put({ ...run, ...answer.run });
}

async function act(action, label, can) {
  const runs = chosen(can);
  const few = runs.length === 1 ? "1 run" : `${runs.length} runs`;
  if (QUESTIONS[action] && !confirm(QUESTIONS[action](few))) return;
  let done = 0;
  const faults = [];
  const work = async () => {
    for (let run = runs.shift(); run; run = runs.shift()) {
      try {
        await steer(run, action);
        selected.delete(run.run_id);
        done += 1;
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        faults.push(error.message);
      }
      show(`${label}: ${done} of ${few}…`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const failed = faults.length ? `, ${faults.length} failed: ${faults[0]}` : "";
  announce(`${label}: ${done} of ${few}${failed}.`);
  show(faults.length || selected.size ? `${label}: ${done} of ${few}${failed}` : null);
  if (!faults.length && !selected.size) byId("selection").hidden = true;
  changed();
}
