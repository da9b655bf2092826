// The limits that operators can change: a table with their numbers, and the form for new ones.

import { announce } from "./announce.js";
import { Problem } from "./api.js";
import { control, mayOperate, onControls } from "./controls.js";
import { byId, inNextFrame, make, setText } from "./dom.js";
import { FormDialog } from "./form_dialog.js";
import { moment } from "./format.js";
import { askPause } from "./pause_form.js";

const NUMBERS = {
  concurrency: "at once",
  requests_per_minute: "requests a minute",
  tokens_per_minute: "tokens a minute",
};
const dialog = new FormDialog("limit-form");
const rows = new Map();

export function startLimitForm() {
  onControls(({ limits }) => inNextFrame("limit numbers", () => show(limits)));
}

const nameOf = (limit) => [limit.limit, limit.key].filter(Boolean).join(" ");

function show(limits) {
  byId("numbers-none").hidden = limits.length > 0 || !mayOperate();
  byId("numbers-part").hidden = !limits.length && !mayOperate();
  byId("numbers-table").hidden = !limits.length;
  const names = new Set(limits.map(nameOf));
  for (const [name, row] of rows) {
    if (names.has(name)) continue;
    row.element.remove();
    rows.delete(name);
  }
  for (const limit of limits) {
    const name = nameOf(limit);
    if (!rows.has(name)) {
      rows.set(name, new NumbersRow(name));
      byId("numbers-rows").append(rows.get(name).element);
    }
    rows.get(name).show(limit);
  }
}

/** One limit; it is updated in place, so that its buttons keep the focus. */
class NumbersRow {
  #numbers = make("td", { class: "text" });
  #use = make("td", { class: "text" });
  #change = make("button", { type: "button" }, "Change…");
  #reset = make("button", { type: "button" }, "Reset");
  #pause = make("button", { type: "button" }, "Pause…");

  constructor(name) {
    this.#change.addEventListener("click", () => askNumbers(this.limit, this.#change));
    this.#reset.addEventListener("click", () => this.#resetNumbers());
    this.#pause.addEventListener("click", () =>
      askPause({ target: `key:${this.#target}`, closed: () => this.#pause.focus() }),
    );
    for (const [button, word] of [[this.#change, "Change"], [this.#reset, "Reset"], [this.#pause, "Pause"]]) {
      button.setAttribute("aria-label", `${word} ${name}`);
    }
    const actions = mayOperate()
      ? make("td", {}, make("span", { class: "actions" }, this.#change, this.#reset, this.#pause))
      : null;
    this.element = make("tr", { "data-limit": name }, make("th", { scope: "row" }, name), this.#numbers, this.#use, actions);
  }

  /** The key of a pause of this limit's calls; empty if the limit is for all models. */
  get #target() {
    const { limit, key } = this.limit;
    return limit.startsWith("resource:") ? limit : (key ?? "");
  }

  show(limit) {
    this.limit = limit;
    setText(this.#numbers, numbersText(limit));
    setText(this.#use, useText(limit));
    this.#reset.hidden = !Object.keys(limit.changed).length;
    this.#pause.hidden = !this.#target;
  }

  async #resetNumbers() {
    const { limit, key } = this.limit;
    try {
      await control("limits/reset", { limit, key: key ?? "" });
      announce(`Reset ${nameOf(this.limit)}.`);
      this.#change.focus(); // the button disappears
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setText(byId("numbers-problem"), error.message);
      byId("numbers-problem").hidden = false;
    }
  }
}

function numbersText({ settings, changed, by, at }) {
  const parts = Object.entries(NUMBERS).flatMap(([name, words]) => {
    const [now, before] = [changed[name], settings[name]];
    if (now === undefined && before === undefined) return [];
    const old = before === undefined ? "unlimited" : before.toLocaleString();
    return now === undefined ? [`${old} ${words}`] : [`${now.toLocaleString()} ${words} (settings: ${old})`];
  });
  const who = Object.keys(changed).length ? `; changed${by ? ` by ${by}` : ""}${at ? `, ${moment(at)}` : ""}` : "";
  return `${parts.join(", ") || "the numbers of all models"}${who}`;
}

function useText({ held, waiting, requests, request_quota: most, tokens, token_quota: mostTokens, why }) {
  const parts = [
    `${held.toLocaleString()} at once`,
    most === null ? null : `${requests.toLocaleString()} of ${most.toLocaleString()} requests`,
    mostTokens === null ? null : `${tokens.toLocaleString()} of ${mostTokens.toLocaleString()} tokens`,
    waiting ? `${waiting.toLocaleString()} waiting${why ? `: ${why}` : ""}` : null,
  ];
  return parts.filter(Boolean).join(", ");
}

function askNumbers(limit, button) {
  const isResource = limit.limit.startsWith("resource:");
  const known = { ...limit.settings, ...limit.changed };
  dialog.open({
    fill() {
      byId("limit-form-title").textContent = `Change ${nameOf(limit)}`;
      for (const name of Object.keys(NUMBERS)) dialog.field(name).value = known[name] ?? "";
      byId("limit-tokens").hidden = isResource;
    },
    async send() {
      const values = {};
      for (const name of Object.keys(NUMBERS)) {
        const text = dialog.text(name);
        if (text !== null && Number(text) !== known[name]) values[name] = Number(text);
      }
      if (!Object.keys(values).length) {
        throw new Problem(422, { detail: "Change at least one number. Reset returns to the settings." });
      }
      await control("limits", { limit: limit.limit, key: limit.key ?? "", values });
      return () => announce(`Changed ${nameOf(limit)}.`);
    },
    closed: () => button.focus(),
  });
}
