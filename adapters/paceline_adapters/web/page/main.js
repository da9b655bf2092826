// Starts the page: checks the session, follows the runs, and shows what the address names.

import { announce } from "./announce.js";
import { Problem, request, setTokenPrompt } from "./api.js";
import { showConcept, startConcept } from "./concept.js";
import { startConnected } from "./connected.js";
import { mayOperate, onChange, startControls } from "./controls.js";
import { showControls, startControlsView } from "./controls_view.js";
import { startCosts } from "./costs.js";
import { byId, inNextFrame } from "./dom.js";
import { startHeader } from "./header.js";
import { startLimitForm } from "./limit_form.js";
import { showLimits } from "./limits.js";
import { Model } from "./model.js";
import { addressed } from "./place.js";
import { RunView } from "./run.js";
import { focusRun, markCurrent, startRuns } from "./runs.js";
import { disableSubmit, startSubmit } from "./submit.js";
import { startTheme } from "./theme.js";
import { askForToken } from "./token.js";
import { showWorkers, startWorkers } from "./workers.js";

const RETRY_SESSION = 2_000;

const model = new Model();
let view = null;
let mayWrite = false;
let shownView = "runs";

/** Show one of the views, and mark its link. */
function showView(name) {
  const changed = name !== shownView;
  shownView = name;
  for (const link of byId("views").querySelectorAll("a")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  byId("runs-view").hidden = name !== "runs";
  byId("top").hidden = name !== "runs";
  showControls(name === "controls");
  showLimits(name === "limits");
  showWorkers(name === "workers");
  if (changed) byId(`${name}-title`).focus();
}

async function navigate() {
  const { view: name, runId, conceptId } = addressed();
  if (name !== shownView || name !== "runs" || !byId("views").querySelector("[aria-current]")) showView(name);
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
    } else if (name === "runs") focusRun(previous);
  }
  await showConcept(runId, conceptId);
}

function start(session) {
  startHeader(model);
  startRuns(model, session);
  startWorkers(model);
  startConnected(model);
  startControls(session);
  startControlsView(model, session);
  startLimitForm();
  for (const one of document.querySelectorAll("[data-operators]")) one.hidden = !mayOperate();
  onChange(() => view?.refresh());
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
    start(session);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("connection").dataset.state = "lost";
    byId("connection").textContent = error.message;
    setTimeout(enter, RETRY_SESSION);
  }
}

startTheme();
setTokenPrompt(askForToken);
enter();
