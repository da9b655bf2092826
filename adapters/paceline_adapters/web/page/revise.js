// The form that asks what to change, and sends the request to make artifacts again.

import { Problem, request, runPath } from "./api.js";
import { byId } from "./dom.js";

const dialog = byId("revise");
const form = dialog.querySelector("form");
const field = (name) => form.elements.namedItem(name);
const NAME = "paceline-name";
let send = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = byId("revise-send");
  if (button.disabled) return;
  button.disabled = true;
  showProblem("");
  try {
    const answered = await send();
    dialog.close();
    answered();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    showProblem(error.faults.join("; ") || error.message);
  } finally {
    button.disabled = false;
  }
});
byId("revise-cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close(); // beside the form
});

function showProblem(text) {
  byId("revise-problem").textContent = text;
  byId("revise-problem").hidden = !text;
}

/**
 * Ask what to change, and request it. `what` selects artifacts, as the API takes it. `requested(answer)`
 * is called with the answer, and `closed()` at the end in any case.
 */
export function askRevision({ runId, title, hint, what, downstream, requested, closed }) {
  byId("revise-title").textContent = title;
  byId("revise-hint").textContent = hint;
  byId("revise-downstream").hidden = !downstream;
  form.reset();
  field("requested_by").value = sessionStorage.getItem(NAME) ?? "";
  showProblem("");
  send = async () => {
    const text = (name) => field(name).value.trim() || null;
    sessionStorage.setItem(NAME, text("requested_by") ?? "");
    const body = {
      ...what,
      instruction: text("instruction"),
      requested_by: text("requested_by"),
      downstream: Boolean(downstream) && field("downstream").checked,
    };
    const answer = await post(`${runPath(runId)}/revisions`, body);
    return () => requested(answer);
  };
  dialog.addEventListener("close", closed, { once: true });
  dialog.showModal();
}

const post = (path, body) =>
  request(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });
