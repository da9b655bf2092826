// The sheet of one concept: its state, why it failed, and its artifacts.

import { conceptPath, Problem, request } from "./api.js";
import { factsText, fallbackText, nodesOfArtifact } from "./artifacts.js";
import { byId, make } from "./dom.js";

const sheet = byId("concept");
let shown = null;
let onClosed = () => {};

/** Prepare the sheet; `closed` is called when the user closes it. */
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
  const view = { runId, conceptId, steps: null, tab: null };
  shown = view;
  sheet.replaceChildren(head("Loading…"));
  if (!sheet.open) sheet.showModal();
  await load(view);
}

/** A concept, or any concept, has changed: reload the sheet if it shows that concept. */
export function conceptChanged(runId, conceptId = shown?.conceptId) {
  if (shown?.runId === runId && shown.conceptId === conceptId) load(shown);
}

async function load(view) {
  try {
    const concept = await request(conceptPath(view.runId, view.conceptId));
    const panels = await Promise.all(
      concept.artifacts.map(async (one) => ({
        step: one.step,
        facts: factsText(one, one.currency),
        fallback: fallbackText(one),
        nodes: await nodesOfArtifact(view.runId, view.conceptId, one),
      })),
    );
    if (shown !== view) return;
    const state = `${concept.status} ${concept.generating} ${panels.map((one) => one.step)}`;
    if (state === view.steps) return;
    view.steps = state;
    fill(view, concept, panels);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (shown === view) {
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

function fill(view, concept, panels) {
  const focused = sheet.contains(document.activeElement) && document.activeElement.id;
  const status = concept.status === "pending" && concept.generating ? "generating" : concept.status;
  const calls = concept.attempts ? ` · ${concept.attempts} ${concept.attempts === 1 ? "call" : "calls"}` : "";
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
    const { facts, fallback, nodes } = panels[index];
    const hints = [facts, fallback].filter(Boolean);
    place.replaceChildren(...hints.map((text) => make("p", { class: "hint" }, text)), ...nodes);
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
