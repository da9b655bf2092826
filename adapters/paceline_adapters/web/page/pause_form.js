// The form that asks what to pause, and why.

import { announce } from "./announce.js";
import { request } from "./api.js";
import { control, ownTarget } from "./controls.js";
import { byId, make } from "./dom.js";
import { FormDialog } from "./form_dialog.js";

const LABELS = { tenant: "Tenant", key: "Model or resource" };
const dialog = new FormDialog("pause-form");
const scope = () => dialog.field("scope").value;

dialog.field("scope").addEventListener("change", showName);

function showName() {
  const label = LABELS[scope()];
  byId("pause-name").hidden = !label;
  byId("pause-name-label").textContent = label ?? "";
  dialog.field("name").required = Boolean(label);
  dialog.field("name").setAttribute("list", scope() === "key" ? "pause-keys" : "");
}

/** Ask what to pause; `target` is chosen beforehand, such as `key:openai:gpt-4o`. */
export function askPause({ target = ownTarget() ?? "everything", closed } = {}) {
  const at = target.indexOf(":");
  const [kind, name] = at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
  const fixed = ownTarget();
  dialog.open({
    fill() {
      byId("pause-choice").hidden = Boolean(fixed);
      byId("pause-hint").textContent = fixed
        ? `This pauses all runs of tenant ${name}. Calls in flight end and are saved.`
        : "No new call of it starts. Calls in flight end and are saved.";
      dialog.field("scope").value = kind;
      dialog.field("name").value = name;
      showName();
      if (fixed) byId("pause-name").hidden = true;
      offerKeys();
    },
    async send() {
      const wanted = scope() === "everything" ? "everything" : `${scope()}:${dialog.text("name")}`;
      await control("pause", { target: wanted, reason: dialog.text("reason") ?? "" });
      return () => announce(`Paused ${wanted}.`);
    },
    closed,
  });
}

/** Offer the models and resources that are in use. */
async function offerKeys() {
  const answer = await request("api/limits").catch(() => null);
  const keys = new Set((answer?.limits ?? []).map((one) => one.key.split("#")[0]).filter((key) => key.includes(":")));
  byId("pause-keys").replaceChildren(...[...keys].map((key) => make("option", { value: key })));
}
