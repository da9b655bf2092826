// The concepts of one run as rows under their stages and modules, updated in place.

import { inNextFrame, make, setAttr, setText } from "./dom.js";

const GLYPHS = { pending: "·", generating: "◔", completed: "✓", failed: "✕" };

/** A concept's state as one word. */
const stateOf = (one) => (one.status === "pending" && one.generating ? "generating" : one.status);

const isFinished = (one) => Number(one.status === "completed" || one.status === "failed");

class ConceptRow {
  #glyph = make("span", { class: "glyph", "aria-hidden": "true" });
  #name = make("span", { class: "concept-name" });
  #stale = make("span", { class: "tag", "aria-hidden": "true" });
  #steps = make("span", { class: "steps", "aria-hidden": "true" });
  #reason = make("p", { class: "reason", hidden: true });
  #note = make("p", { class: "note", hidden: true });

  constructor(runId, conceptId) {
    this.link = make(
      "a",
      {
        class: "concept",
        href: `#/runs/${encodeURIComponent(runId)}/${encodeURIComponent(conceptId)}`,
      },
      this.#glyph,
      this.#name,
      this.#stale,
      this.#steps,
    );
    this.element = make("li", { "data-concept": conceptId }, this.link, this.#reason, this.#note);
  }

  show(concept) {
    const state = stateOf(concept);
    setAttr(this.element, "data-status", state);
    setText(this.#glyph, GLYPHS[state]);
    setText(this.#name, concept.name);
    setText(this.#steps, concept.steps.map((step) => step.slice(0, 1).toUpperCase()).join(" "));
    setAttr(this.#steps, "title", concept.steps.join(", "));
    const made = concept.steps.length ? `; artifacts: ${concept.steps.join(", ")}` : "";
    const { stale } = concept;
    setText(this.#stale, stale.length ? "stale" : "");
    setAttr(this.#stale, "title", stale.join(", "));
    const old = stale.length ? `; stale: ${stale.join(", ")}` : "";
    setAttr(this.link, "aria-label", `${concept.name}: ${state}${made}${old}`);
    setText(this.#reason, concept.reason ?? "");
    this.#reason.hidden = !concept.reason;
    const note = state === "generating" ? concept.note : null;
    setText(this.#note, note ?? "");
    this.#note.hidden = !note;
  }
}

/** All concepts of a run, and the element that shows them. */
export class ConceptList {
  element = make("div", { class: "stages" });
  #rows = new Map();
  #modules = new Map();
  #concepts = new Map();
  #dirty = new Set();
  #finished = 0;

  constructor(runId, roadmap) {
    this.runId = runId;
    for (const stage of [...roadmap.stages].sort((a, b) => a.order - b.order)) {
      this.element.append(
        make(
          "section",
          { class: "stage" },
          make("h3", {}, stage.name),
          make("div", { class: "modules" }, ...stage.modules.map((one) => this.#module(stage, one))),
        ),
      );
    }
  }

  #module(stage, module) {
    const list = make("ul", { class: "concept-list" });
    const count = make("span", { class: "count" });
    const key = `${stage.stage_id}\n${module.module_id}`;
    this.#modules.set(key, { list, count, ids: module.concepts.map((one) => one.concept_id) });
    for (const one of module.concepts) {
      this.put({ concept_id: one.concept_id, name: one.name, status: "pending", steps: [], stale: [], key });
    }
    return make("section", { class: "module" }, make("h4", {}, make("bdi", {}, module.name), " ", count), list);
  }

  get(conceptId) {
    return this.#concepts.get(conceptId);
  }

  /** Number of concepts that are completed or failed. */
  get finished() {
    return this.#finished;
  }

  /** Update a concept. */
  put(change) {
    const id = change.concept_id;
    const known = this.#concepts.get(id);
    const now = { ...known, ...change };
    this.#finished += isFinished(now) - (known ? isFinished(known) : 0);
    this.#concepts.set(id, now);
    this.#dirty.add(id);
    inNextFrame(`concepts ${this.runId}`, () => this.#show());
  }

  /** Number of concepts in a state. */
  count(state) {
    let found = 0;
    for (const one of this.#concepts.values()) found += stateOf(one) === state;
    return found;
  }

  /** Number of artifacts that are stale. */
  get stale() {
    let found = 0;
    for (const one of this.#concepts.values()) found += one.stale.length;
    return found;
  }

  /** Number of artifacts of all concepts. */
  get artifacts() {
    let found = 0;
    for (const one of this.#concepts.values()) found += one.steps.length;
    return found;
  }

  #show() {
    const changed = new Set();
    for (const id of this.#dirty) {
      const concept = this.#concepts.get(id);
      let row = this.#rows.get(id);
      if (!row) {
        row = new ConceptRow(this.runId, id);
        this.#rows.set(id, row);
        this.#modules.get(concept.key)?.list.append(row.element);
      }
      row.show(concept);
      changed.add(concept.key);
    }
    this.#dirty.clear();
    for (const key of changed) this.#count(this.#modules.get(key));
  }

  #count(module) {
    if (!module) return;
    const done = module.ids.filter((id) => stateOf(this.#concepts.get(id)) === "completed").length;
    setText(module.count, `${done}/${module.ids.length}`);
  }

  /** Put the focus on a concept's row. */
  focus(conceptId) {
    this.#rows.get(conceptId)?.link.focus();
  }
}
