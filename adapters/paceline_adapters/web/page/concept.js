// The sheet of one concept: where it stands, why it failed, and what was made, to be read.

import { ask, conceptPath, Problem } from "./api.js";
import { factsOf, nodesOfArtifact } from "./artifacts.js";
import { byId, make } from "./dom.js";

const sheet = byId("concept");
let shown = null;
let onClosed = () => {};

/** Say what is to be done when a sheet was closed by its reader. */
export function startConcept(closed) {
  onClosed = closed;
  sheet.addEventListener("close", () => {
    shown = null;
    onClosed();
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
  const asked = { runId, conceptId, steps: null, tab: null };
  shown = asked;
  sheet.replaceChildren(head("Loading…"));
  if (!sheet.open) sheet.showModal();
  await load(asked);
}

/** Something happened to a concept, or to any: look again if it is the one that is read. */
export function conceptChanged(runId, conceptId = shown?.conceptId) {
  if (shown?.runId === runId && shown.conceptId === conceptId) load(shown);
}

async function load(asked) {
  try {
    const concept = await ask(conceptPath(asked.runId, asked.conceptId));
    const panels = await Promise.all(
      concept.artifacts.map(async (one) => ({
        step: one.step,
        facts: factsOf(one),
        nodes: await nodesOfArtifact(asked.runId, asked.conceptId, one),
      })),
    );
    if (shown !== asked) return;
    const state = `${concept.status} ${concept.generating} ${panels.map((one) => one.step)}`;
    if (state === asked.steps) return;
    asked.steps = state;
    fill(asked, concept, panels);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (shown === asked) {
      sheet.replaceChildren(head(error.title), make("p", { class: "problem" }, error.message));
    }
  }
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

function fill(asked, concept, panels) {
  const reading = sheet.contains(document.activeElement) && document.activeElement.id;
  const status = concept.status === "pending" && concept.generating ? "generating" : concept.status;
  const calls = concept.attempts ? ` · ${concept.attempts} calls` : "";
  sheet.replaceChildren(
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
            make("summary", {}, "What the model last answered"),
            make("pre", { tabindex: "0" }, concept.last_answer),
          ),
        ]
      : []),
    ...tabbed(asked, panels),
  );
  if (reading) byId(reading)?.focus();
}

/** One tab per artifact, as screen readers and arrow keys expect them. */
function tabbed(asked, panels) {
  if (!panels.length) return [make("p", { class: "empty" }, "Nothing has been made for it.")];
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
    asked.tab = panels[index].step;
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", i === index);
      tab.tabIndex = i === index ? 0 : -1;
    });
    place.setAttribute("aria-labelledby", tabs[index].id);
    place.replaceChildren(make("p", { class: "hint" }, panels[index].facts), ...panels[index].nodes);
    if (focus) tabs[index].focus();
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(index, false));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) choose((index + step + tabs.length) % tabs.length, true);
    });
  });
  choose(Math.max(0, panels.findIndex((one) => one.step === asked.tab)), false);
  return [make("div", { role: "tablist", class: "tabs", "aria-label": "Made for it" }, ...tabs), place];
}
