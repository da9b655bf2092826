// What is paused, with the actor and the reason: loaded every few seconds, and shown in a banner on each view.

import { announce } from "./announce.js";
import { postJson, Problem, request } from "./api.js";
import { byId, inNextFrame, make } from "./dom.js";
import { moment } from "./format.js";

const EVERY = 5_000;
const listeners = [];
let session = { scope: "read", operator: false, tenant: "" };
let controls = null;
let timer = 0;

/** Start to load the controls, every few seconds. */
export function startControls(given) {
  session = given;
  load();
}

/** Call `listener(controls)` when they are loaded, and when a pause, a limit or its use has changed. */
export function onControls(listener) {
  listeners.push(listener);
  if (controls) listener(controls);
}

/** Call a listener when the controls were changed, not only the use of a limit. */
export function onChange(listener) {
  let version = null;
  onControls((now) => {
    if (now.version !== version) listener(now);
    version = now.version;
  });
}

/** Whether the caller may change what concerns all tenants. */
export const mayOperate = () => session.operator;

/** The only target that a caller may pause who is no operator; `null` for operators. */
export const ownTarget = () => (session.operator ? null : `tenant:${session.tenant}`);

/** Whether the caller may pause and resume a target. */
export const mayPause = (target) =>
  session.operator || (session.scope === "write" && target === ownTarget());

async function load() {
  clearTimeout(timer);
  timer = setTimeout(load, EVERY);
  if (document.hidden) return;
  try {
    changed(await request("api/controls"));
  } catch (error) {
    if (!(error instanceof Problem)) throw error; // the line of the connection shows it
  }
}

/** Send a change, and show the controls of the answer. */
export async function control(action, body) {
  changed(await postJson(`api/controls/${action}`, body));
}

function changed(now) {
  const before = controls;
  controls = now;
  if (JSON.stringify(before) === JSON.stringify(now)) return;
  inNextFrame("pauses", showPauses);
  for (const listener of listeners) listener(now);
}

/** A pause as a sentence. */
export const pauseText = (pause) => `${capital(pause.state)}${pause.at ? `, since ${moment(pause.at)}` : ""}.`;

const capital = (text) => text.slice(0, 1).toUpperCase() + text.slice(1);

const shownPauses = new Map();

/** Show the pauses; a line that stays keeps its button, and the focus. */
function showPauses() {
  const place = byId("pauses");
  const wanted = new Map(controls.pauses.map((pause) => [`${pause.target} ${pauseText(pause)}`, pause]));
  for (const [key, line] of shownPauses) {
    if (wanted.has(key)) continue;
    line.remove();
    shownPauses.delete(key);
  }
  for (const [key, pause] of wanted) {
    if (shownPauses.has(key)) continue;
    const line = pauseLine(pause);
    shownPauses.set(key, line);
    place.append(line);
    announce(pauseText(pause));
  }
  place.hidden = !wanted.size;
}

function pauseLine(pause) {
  const { target } = pause;
  const button = make("button", { type: "button", "aria-label": `Resume ${target}` }, "Resume");
  const problem = make("span", { class: "pause-problem", role: "alert", hidden: true });
  button.addEventListener("click", async () => {
    button.disabled = true;
    problem.hidden = true;
    try {
      await control("resume", { target });
      announce(`Resumed ${target}.`);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
    } finally {
      button.disabled = false;
    }
  });
  return make(
    "div",
    { class: "pause", "data-target": target },
    make("p", {}, pauseText(pause)),
    mayPause(target) ? button : null,
    problem,
  );
}
