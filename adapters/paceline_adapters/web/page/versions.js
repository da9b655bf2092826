// The versions of an artifact: which one is shown and why, their list, and two of them side by side.

import { artifactPath, request } from "./api.js";
import { factsText, fallbackText, nodesOfArtifact } from "./artifacts.js";
import { make } from "./dom.js";

const SHORT_HASH = 12;
const STALE =
  "Stale: it was made from an older version of another artifact. Revise it to bring it up to date.";

/** All versions of an artifact without their content; no request if there is only one. */
export async function loadVersions(view, artifact) {
  if (artifact.changes <= 1 && artifact.version === 1) return [artifact];
  const path = artifactPath(view.runId, view.conceptId, artifact.step);
  return (await request(`${path}/versions`)).versions;
}

/** One version and its nodes. */
export async function loadVersion(view, step, version) {
  const path = artifactPath(view.runId, view.conceptId, step);
  const artifact = await request(`${path}?version=${version}`);
  return { artifact, nodes: await nodesOfArtifact(view.runId, view.conceptId, artifact, version) };
}

/** Why a version exists: who asked for it, and what for; empty for a first version. */
function originText({ requested_by: by, tenant, instruction, adopted_from: from }) {
  const who = [by, tenant && tenant !== by ? `tenant ${tenant}` : null].filter(Boolean).join(", ");
  return [
    from ? `Taken over from run ${from}` : null,
    who ? `Asked for by ${who}` : null,
    instruction ? `Instruction: ${instruction}` : null,
  ];
}

/** The lines above an artifact: version, stale, model and cost, who asked. */
export function versionLines(artifact, versions) {
  const of = versions.length > 1 ? `Version ${artifact.version} of ${versions.length}` : null;
  const hints = [of, factsText(artifact, artifact.currency), fallbackText(artifact)];
  return [
    ...(artifact.stale ? [make("p", { class: "stale-note" }, STALE)] : []),
    ...[...hints, ...originText(artifact)]
      .filter(Boolean)
      .map((text) => make("p", { class: "hint" }, text)),
  ];
}

/** The list of versions, newest first; `compare(version)` is called for the chosen one. */
export function versionList(versions, compare) {
  const item = (one) =>
    make(
      "li",
      {},
      make(
        "p",
        { class: "version-head" },
        make("b", {}, `Version ${one.version}`),
        one.current
          ? make("span", { class: "tag" }, "current")
          : make(
              "button",
              { type: "button", id: `compare-${one.version}`, onclick: () => compare(one.version) },
              `Compare version ${one.version} with the current one`,
            ),
      ),
      ...[createdText(one), factsText(one, one.currency), ...originText(one)]
        .filter(Boolean)
        .map((text) => make("p", { class: "hint" }, text)),
      one.prompt_hash
        ? make("p", { class: "hint" }, "Prompt ", make("code", {}, one.prompt_hash.slice(0, SHORT_HASH)))
        : null,
    );
  return make(
    "section",
    { class: "versions", "aria-label": "Versions" },
    make("ol", { class: "version-list" }, ...[...versions].reverse().map(item)),
  );
}

const createdText = ({ created_at: at }) => (at ? new Date(at).toLocaleString() : null);

/** Two versions beside each other, the lower number first; `keep(version)` chooses one, if not `null`. */
export function comparison(one, other, keep) {
  const pair = [one, other].sort((a, b) => a.artifact.version - b.artifact.version);
  return make(
    "div",
    { class: "compare" },
    ...pair.map(({ artifact, nodes }) => {
      const name = `Version ${artifact.version}`;
      return make(
        "section",
        { "aria-label": name },
        make(
          "p",
          { class: "version-head" },
          make("b", { id: `compared-${artifact.version}` }, name),
          artifact.current ? make("span", { class: "tag" }, "current") : null,
        ),
        keep &&
          make(
            "button",
            {
              type: "button",
              id: `keep-${artifact.version}`,
              "aria-describedby": `compared-${artifact.version}`,
              onclick: () => keep(artifact.version),
            },
            "Keep this version",
          ),
        ...[createdText(artifact), factsText(artifact, artifact.currency), ...originText(artifact)]
          .filter(Boolean)
          .map((text) => make("p", { class: "hint" }, text)),
        ...nodes,
      );
    }),
  );
}
