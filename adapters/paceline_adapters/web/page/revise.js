// The form that asks what to change, and sends the request to make artifacts again.

import { postJson, runPath } from "./api.js";
import { byId } from "./dom.js";
import { FormDialog } from "./form_dialog.js";

const NAME = "paceline-name";
const dialog = new FormDialog("revise");

/**
 * Ask what to change, and request it. `what` selects artifacts, as the API takes it. `requested(answer)`
 * is called with the answer, and `closed()` at the end in any case.
 */
export function askRevision({ runId, title, hint, what, downstream, requested, closed }) {
  dialog.open({
    fill() {
      byId("revise-title").textContent = title;
      byId("revise-hint").textContent = hint;
      byId("revise-downstream").hidden = !downstream;
      dialog.field("requested_by").value = sessionStorage.getItem(NAME) ?? "";
    },
    async send() {
      sessionStorage.setItem(NAME, dialog.text("requested_by") ?? "");
      const answer = await postJson(`${runPath(runId)}/revisions`, {
        ...what,
        instruction: dialog.text("instruction"),
        requested_by: dialog.text("requested_by"),
        downstream: Boolean(downstream) && dialog.field("downstream").checked,
      });
      return () => requested(answer);
    },
    closed,
  });
}
