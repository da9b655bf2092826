// The artifacts of a concept in readable form: a tutorial, resources, a quiz.

import { artifactPath, request } from "./api.js";
import { linkOut, safeAddress, sanitized } from "./sanitize.js";
import { make } from "./dom.js";

/** An artifact as nodes; `version` unless it is current. The server renders unknown shapes. */
export async function nodesOfArtifact(runId, conceptId, artifact, version) {
  const shown = SHOWN[artifact.step]?.(artifact.content);
  if (shown) return [shown];
  const path = artifactPath(runId, conceptId, `${artifact.step}.html`);
  const html = await request(version ? `${path}?version=${version}` : path, { as: "text" });
  return [make("div", { class: "prose" }, ...sanitized(html))];
}

/** A cost; `~` marks an estimate. Without a price it is unknown. */
export function moneyText({ cost, estimated }, currency) {
  if (cost === null) return "unknown";
  const money = cost > 0 && cost < 0.00005 ? "<0.0001" : cost.toFixed(4);
  return `${estimated ? "~" : ""}${money} ${currency}`;
}

/** Tokens and cost of a run or an artifact; `~` marks estimates. */
export function spentText(spent, currency) {
  const { prompt_tokens, completion_tokens, cost, estimated } = spent;
  const tokens = prompt_tokens + completion_tokens;
  const facts = [
    tokens ? `${estimated ? "~" : ""}${tokens.toLocaleString()} tokens` : null,
    cost === null ? null : `cost ${moneyText(spent, currency)}`,
  ];
  return facts.filter(Boolean).join(" · ");
}

/** Why another model than the preferred one wrote an artifact; empty if none did. */
export const fallbackText = ({ model, fallback }) =>
  fallback ? `Written by ${model || "another model"}, because ${fallback}` : "";

/** The model of an artifact, its tokens, time and cost. */
export function factsText(artifact, currency) {
  const { model, seconds, attempts } = artifact;
  const facts = [
    model,
    spentText(artifact, currency),
    `${seconds.toFixed(1)} s`,
    attempts > 1 ? `${attempts} attempts` : null,
  ];
  return facts.filter(Boolean).join(" · ");
}

const isText = (value) => typeof value === "string";

function resources(content) {
  const list = content?.resources;
  if (!Array.isArray(list) || !list.every((one) => isText(one?.title) && isText(one?.url))) {
    return null;
  }
  return make(
    "ul",
    { class: "resources" },
    ...list.map((one) =>
      make(
        "li",
        {},
        make(
          "p",
          { class: "resource-title" },
          linkOut(one.url, one.title),
          make("span", { class: "tag" }, one.type ?? ""),
        ),
        make("p", { class: "hint" }, safeAddress(one.url)?.host ?? one.url),
        make("p", {}, one.why ?? ""),
      ),
    ),
  );
}

function quiz(content) {
  const list = content?.questions;
  const valid = (one) =>
    isText(one?.question) && Array.isArray(one.options) && Array.isArray(one.answer);
  if (!Array.isArray(list) || !list.every(valid)) return null;
  return make("ol", { class: "quiz" }, ...list.map(question));
}

function question({ question: text, options, answer, explanation, difficulty }) {
  const right = answer.map((index) => String(options[index]));
  return make(
    "li",
    {},
    make("p", { class: "question" }, text, make("span", { class: "tag" }, difficulty ?? "")),
    make("ol", { class: "options", type: "A" }, ...options.map((one) => make("li", {}, String(one)))),
    make(
      "details",
      {},
      make("summary", {}, "Answer"),
      make("p", { class: "right" }, right.join(" · ")),
      make("p", {}, explanation ?? ""),
    ),
  );
}

const SHOWN = { resources, quiz };
