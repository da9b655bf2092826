// The form that asks for a larger budget, for a run that has spent its own.

import { request, runPath } from "./api.js";
import { byId } from "./dom.js";
import { FormDialog } from "./form_dialog.js";

const dialog = new FormDialog("budget-form");

/** Ask what a run may cost in all, and resume it; `resumed(run)` is called with the resumed run. */
export function askBudget(run, { cost, currency, resumed, closed }) {
  dialog.open({
    fill() {
      byId("budget-form-hint").textContent = run.reason;
      byId("budget-form-label").textContent = `What the run may cost in all, in ${currency}`;
      const known = Math.max(run.budget ?? 0, cost ?? 0);
      dialog.field("budget").min = known;
      dialog.field("budget").value = known ? Number((2 * known).toPrecision(2)) : "";
    },
    async send() {
      const budget = encodeURIComponent(dialog.text("budget"));
      const answer = await request(`${runPath(run.run_id)}/resume?budget=${budget}`, { method: "POST" });
      return () => resumed(answer.run);
    },
    closed,
  });
}
