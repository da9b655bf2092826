// Starts the page: checks the session, follows the runs, and shows what the address names.

import { announce } from "./announce.js";
import { Problem, request, setTokenPrompt } from "./api.js";
import { showConcept, startConcept } from "./concept.js";
import { startCosts } from "./costs.js";
import { byId, inNextFrame } from "./dom.js";
import { startHeader } from "./header.js";
import { Model } from "./model.js";
import { RunView } from "./run.js";
import { focusRun, markCurrent, startRuns } from "./runs.js";
import { disableSubmit, startSubmit } from "./submit.js";
import { askForToken } from "./token.js";

const RETRY_SESSION = 2_000;

const model = new Model();
let view = null;
let mayWrite = false;

/** The run and the concept that the address names. */
function addressed() {
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

async function navigate() {
  const { runId, conceptId } = addressed();
  const previous = view?.runId;
  if (previous !== (runId || undefined)) {
    view?.close();
    view = runId ? new RunView(model, runId, mayWrite) : null;
    document.body.classList.toggle("looking", Boolean(runId));
    byId("detail").hidden = !runId;
    inNextFrame("current", () => markCurrent(runId));
    if (view) {
      view.open();
      view.focus();
      byId("detail").scrollTop = 0;
    } else focusRun(previous);
  }
  await showConcept(runId, conceptId);
}

function start() {
  startHeader(model);
  startRuns(model);
  startCosts(model);
  startConcept({
    mayWrite,
    closed() {
      const { runId, conceptId } = addressed();
      if (!conceptId) return;
      history.replaceState(null, "", `#/runs/${encodeURIComponent(runId)}`);
      view?.focus(conceptId);
    },
    changed(run) {
      if (run) model.put(run);
      view?.reload();
    },
  });
  if (mayWrite) {
    startSubmit((run) => {
      model.put(run);
      announce(`Submitted ${run.title}.`);
    });
  } else disableSubmit();
  model.listen({
    run(run) {
      if (view?.runId === run.run_id) view.update(run);
    },
    connection(state) {
      if (state === "open") view?.reconnected();
    },
  });
  model.follow();
  addEventListener("hashchange", navigate);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && view && !document.querySelector("dialog[open]")) {
      location.hash = "#/";
    }
  });
  navigate();
}

/** Load the session. Nothing can be shown without it, so retry until it loads. */
async function enter() {
  try {
    const session = await request("api/session");
    mayWrite = session.scope === "write";
    start();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("connection").dataset.state = "lost";
    byId("connection").textContent = error.message;
    setTimeout(enter, RETRY_SESSION);
  }
}

setTokenPrompt(askForToken);
enter();
