// The view of controls: the button to pause, and who changed what.

import { Problem, request } from "./api.js";
import { onChange } from "./controls.js";
import { byId, inNextFrame, make, setText } from "./dom.js";
import { moment } from "./format.js";
import { askPause } from "./pause_form.js";
import { runAddress } from "./place.js";

const PAGE = 50;
const DONE = {
  pause: "paused",
  resume: "resumed",
  cancel: "cancelled",
  drain: "drained",
  "set-limit": "changed limit",
  "reset-limit": "reset limit",
};
let model;
let shown = false;
let entries = [];
let before = null;

export function startControlsView(runsModel, { scope }) {
  model = runsModel;
  const pause = byId("pause-work");
  pause.hidden = scope !== "write";
  pause.addEventListener("click", () => askPause({ closed: () => pause.focus() }));
  byId("older-changes").addEventListener("click", () => load(before));
  onChange((now) => {
    byId("nothing-paused").hidden = now.pauses.length > 0;
    if (shown) load();
  });
}

/** Show or hide the view. */
export function showControls(on) {
  shown = on;
  byId("controls").hidden = !on;
  if (on) load();
}

/** Load the newest changes, or those before a number. */
async function load(from = null) {
  try {
    const page = await request(`api/controls/log?limit=${PAGE}${from ? `&before=${from}` : ""}`);
    entries = from ? [...entries, ...page.entries] : page.entries;
    before = page.before;
    inNextFrame("changes", show);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    setText(byId("changes-note"), error.message);
    byId("changes-note").hidden = false;
  }
}

/** The subject of a change, as a link if it is a run. */
function subject(text) {
  const [, runId] = /^run (\S+)$/.exec(text) ?? [];
  return runId ? make("a", { href: runAddress(runId) }, model.runs.get(runId)?.title ?? runId) : text;
}

function show() {
  const note = byId("changes-note");
  setText(note, "Nothing was changed yet.");
  note.hidden = entries.length > 0;
  byId("changes-table").hidden = !entries.length;
  byId("older-changes").hidden = !before;
  byId("changes-rows").replaceChildren(
    ...entries.map((one) =>
      make(
        "tr",
        {},
        make("td", {}, one.at ? moment(one.at) : ""),
        make("td", { class: "name" }, one.by),
        make("td", { class: "name" }, `${DONE[one.action] ?? one.action} `, subject(one.subject)),
        make("td", { class: "text" }, one.detail),
      ),
    ),
  );
}
