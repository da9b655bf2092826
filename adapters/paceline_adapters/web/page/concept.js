// The sheet of one concept: its state, why it failed, and its artifacts.

import { artifactPath, conceptPath, Problem, request } from "./api.js";
import { nodesOfArtifact } from "./artifacts.js";
import { byId, make } from "./dom.js";
import { askRevision } from "./revise.js";
import { comparison, loadVersion, loadVersions, versionLines, versionList } from "./versions.js";

const sheet = byId("concept");
const body = byId("concept-body");
let shown = null;
let page = { mayWrite: false, closed() {}, changed() {} };

/**
 * Prepare the sheet. `closed()` is called when the user closes it, and `changed(run)` after a request that
 * changed something; `run` is the run if the answer has it.
 */
export function startConcept(options) {
  page = options;
  sheet.addEventListener("close", () => {
    shown = null;
    page.closed();
  });
  sheet.addEventListener("click", (event) => {
    if (event.target === sheet) sheet.close(); // beside the sheet
  });
}

/** Open the sheet, or close it. */
export async function showConcept(runId, conceptId) {
  if (!conceptId) {
    if (sheet.open) sheet.close();
    return;
  }
  // `modes` has what is shown of a step besides its artifact: the list of versions, or a comparison.
  // `news` has the version that a newer one replaced while the sheet was open.
  const view = {
    runId,
    conceptId,
    loads: 0,
    state: null,
    tab: null,
    modes: new Map(),
    news: new Map(),
    versions: new Map(),
  };
  shown = view;
  byId("concept-news").textContent = "";
  body.replaceChildren(head("Loading…"));
  if (!sheet.open) sheet.showModal();
  await load(view);
}

/** A concept, or any concept, has changed: reload the sheet if it shows that concept. */
export function conceptChanged(runId, conceptId = shown?.conceptId) {
  if (shown?.runId === runId && shown.conceptId === conceptId) load(shown);
}

async function load(view) {
  const number = ++view.loads;
  try {
    const concept = await request(conceptPath(view.runId, view.conceptId));
    const panels = await Promise.all(concept.artifacts.map((one) => loadPanel(view, one)));
    if (shown !== view || number !== view.loads) return; // closed, or a later load is under way
    for (const one of panels) noteVersion(view, one.artifact);
    const state = JSON.stringify([concept.status, concept.generating, concept.reason, panels.map(stateOf)]);
    if (state === view.state) return;
    view.state = state;
    fill(view, concept, panels);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (shown === view) {
      view.state = null;
      body.replaceChildren(head(error.title), make("p", { class: "problem" }, error.message));
    }
  }
}

/** An artifact with its nodes, its versions, and the version to compare it with. */
async function loadPanel(view, artifact) {
  const mode = view.modes.get(artifact.step);
  const [nodes, versions, other] = await Promise.all([
    nodesOfArtifact(view.runId, view.conceptId, artifact),
    loadVersions(view, artifact),
    mode?.version && mode.version !== artifact.version
      ? loadVersion(view, artifact.step, mode.version)
      : null,
  ]);
  return { artifact, step: artifact.step, mode, nodes, versions, other };
}

const stateOf = ({ step, mode, artifact, versions }) => [
  step,
  mode,
  artifact.changes,
  artifact.stale,
  versions.length,
];

/** If another version is current than before, offer to compare the two. */
function noteVersion(view, { step, version, changes }) {
  const before = view.versions.get(step);
  view.versions.set(step, { version, changes });
  if (!before || before.changes === changes || before.version === version) return;
  view.news.set(step, before.version);
  byId("concept-news").textContent = `Version ${version} of ${step} is ready.`;
}

/** Show the versions of a step, a comparison, or only the artifact. */
async function setMode(view, step, mode, focus) {
  if (mode) view.modes.set(step, mode);
  else view.modes.delete(step);
  view.news.delete(step);
  view.state = null;
  await load(view);
  byId(focus)?.focus();
}

/** Make a version current, unless it is. */
async function keep(view, artifact, version) {
  const { step } = artifact;
  const focus = `versions-${step}`;
  if (version === artifact.version) {
    await setMode(view, step, null, focus);
    return;
  }
  const path = artifactPath(view.runId, view.conceptId, step);
  try {
    const kept = await request(`${path}/restore?version=${version}`, { method: "POST" });
    view.versions.set(step, kept);
    page.changed();
    await setMode(view, step, null, focus);
    byId("concept-news").textContent = `Version ${version} of ${step} is current.`;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    byId("artifact").prepend(make("p", { class: "problem", role: "alert" }, error.message));
  }
}

function revise(view, { step }) {
  const { runId, conceptId } = view;
  askRevision({
    runId,
    title: `Revise the ${step}`,
    hint: "Readers see the current version until the new one is saved.",
    what: { artifacts: [{ concept_id: conceptId, step }] },
    downstream: true,
    requested({ run }) {
      byId("concept-news").textContent = `The ${step} is made again.`;
      page.changed(run);
      if (shown === view) load(view);
    },
    closed: () => byId(`revise-${step}`)?.focus(),
  });
}

function head(title, ...more) {
  return make(
    "div",
    { class: "sheet-head" },
    make("h2", { id: "concept-title" }, title),
    make("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => sheet.close() }, "✕"),
    ...more,
  );
}

function fill(view, concept, panels) {
  const focused = body.contains(document.activeElement) && document.activeElement.id;
  const status = concept.status === "pending" && concept.generating ? "generating" : concept.status;
  const calls = concept.attempts ? ` · ${concept.attempts} ${concept.attempts === 1 ? "call" : "calls"}` : "";
  body.replaceChildren(
    head(
      concept.name,
      make("p", { class: "status", "data-status": status }, `${status}${calls}`),
    ),
    ...(concept.reason ? [make("p", { class: "problem" }, concept.reason)] : []),
    ...(concept.last_answer
      ? [
          make(
            "details",
            { class: "last-answer" },
            make("summary", {}, "Last answer of the model"),
            make("pre", { tabindex: "0" }, concept.last_answer),
          ),
        ]
      : []),
    ...tabbed(view, panels),
  );
  if (focused) byId(focused)?.focus();
}

/** One tab per artifact, as screen readers and arrow keys expect them. */
function tabbed(view, panels) {
  if (!panels.length) return [make("p", { class: "empty" }, "No artifacts yet.")];
  const place = make("div", {
    role: "tabpanel",
    id: "artifact",
    class: "artifact",
    tabindex: "0",
  });
  const tabs = panels.map((panel) =>
    make(
      "button",
      { type: "button", role: "tab", id: `tab-${panel.step}`, "aria-controls": "artifact" },
      panel.step,
    ),
  );
  const choose = (index, focus) => {
    view.tab = panels[index].step;
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", i === index);
      tab.tabIndex = i === index ? 0 : -1;
    });
    place.setAttribute("aria-labelledby", tabs[index].id);
    place.replaceChildren(...panelNodes(view, panels[index]));
    if (focus) tabs[index].focus();
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(index, false));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) choose((index + step + tabs.length) % tabs.length, true);
    });
  });
  choose(Math.max(0, panels.findIndex((one) => one.step === view.tab)), false);
  return [make("div", { role: "tablist", class: "tabs", "aria-label": "Artifacts" }, ...tabs), place];
}

function panelNodes(view, { artifact, mode, nodes, versions, other }) {
  const { step, version } = artifact;
  const show = (wanted, focus) => setMode(view, step, wanted, focus);
  const compare = (older) => show({ version: older }, `keep-${older}`);
  const button = (id, text, onclick) => make("button", { type: "button", id: `${id}-${step}`, onclick }, text);
  const news = view.news.get(step);
  const toggle = mode
    ? button("versions", "Back to the artifact", () => show(null, `versions-${step}`))
    : button("versions", "Versions", () => show({}, `versions-${step}`));
  const buttons = [
    page.mayWrite ? button("revise", "Revise…", () => revise(view, artifact)) : null,
    versions.length > 1 ? toggle : null,
  ];
  const offer =
    news && !mode
      ? make(
          "p",
          { class: "offer" },
          `Version ${version} is new. `,
          button("offer", `Compare it with version ${news}`, () => compare(news)),
        )
      : null;
  const lines = mode ? [] : versionLines(artifact, versions); // the list and the comparison have their own
  const shownNodes = other
    ? [comparison({ artifact, nodes }, other, page.mayWrite ? (kept) => keep(view, artifact, kept) : null)]
    : mode
      ? [versionList(versions, compare)]
      : nodes;
  return [...lines, make("div", { class: "actions" }, ...buttons), offer, ...shownNodes].filter(Boolean);
}
