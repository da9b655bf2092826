// Puts the page together: who asks, what is followed, and what the address says is looked at.

import { announce } from "./announce.js";
import { Problem, ask, tokensFrom } from "./api.js";
import { showConcept, startConcept } from "./concept.js";
import { byId, inFrame } from "./dom.js";
import { startHeader } from "./header.js";
import { Model } from "./model.js";
import { RunView } from "./run.js";
import { current, focusRun, startRuns } from "./runs.js";
import { forbidSubmit, startSubmit } from "./submit.js";
import { askForToken } from "./token.js";

const RETRY_SESSION = 2_000;

const model = new Model();
let view = null;
let mayWrite = false;

/** The run and the concept that the address names. */
function asked() {
  const [, , runId = "", conceptId = ""] = location.hash.split("/").map(decoded);
  return { runId, conceptId };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

async function look() {
  const { runId, conceptId } = asked();
  const left = view?.runId;
  if (left !== (runId || undefined)) {
    view?.close();
    view = runId ? new RunView(model, runId, mayWrite) : null;
    document.body.classList.toggle("looking", Boolean(runId));
    byId("detail").hidden = !runId;
    inFrame("current", () => current(runId));
    if (view) {
      view.open();
      view.focus();
      byId("detail").scrollTop = 0;
    } else focusRun(left);
  }
  await showConcept(runId, conceptId);
}

function start() {
  startHeader(model);
  startRuns(model);
  startConcept(() => {
    const { runId, conceptId } = asked();
    if (!conceptId) return;
    history.replaceState(null, "", `#/runs/${encodeURIComponent(runId)}`);
    view?.focus(conceptId);
  });
  if (mayWrite) {
    startSubmit((run) => {
      model.put(run);
      announce(`Submitted ${run.title}.`);
    });
  } else forbidSubmit();
  model.listen({
    run(run) {
      if (view?.runId === run.run_id) view.update(run);
    },
  });
  model.follow();
  addEventListener("hashchange", look);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && view && !document.querySelector("dialog[open]")) {
      location.hash = "#/";
    }
  });
  look();
}

/** Who asks here; without an answer nothing can be shown, so it is asked for until there is one. */
async function enter() {
  try {
    const session = await ask("api/session");
    mayWrite = session.scope === "write";
    start();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("connection").dataset.state = "lost";
    byId("connection").textContent = error.message;
    setTimeout(enter, RETRY_SESSION);
  }
}

tokensFrom(askForToken);
enter();
