// What the address names: a view, a run, a concept, and how the list is filtered. The part after
// `#` is the place, and the part after `?` is how it is shown, so links to a place keep the filter.

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}

/** The view, the run and the concept that the address names. */
export function addressed() {
  const [, view = "", runId = "", conceptId = ""] = location.hash.split("/").map(decoded);
  const known = ["limits", "workers", "controls"].includes(view) ? view : "runs";
  return known === "runs" ? { view: known, runId, conceptId } : { view: known, runId: "", conceptId: "" };
}

/** How the list and the run are shown. */
export const shown = () => new URLSearchParams(location.search);

/** Change how they are shown; `null` removes a name. The browser's history keeps one entry. */
export function setShown(changes) {
  const query = shown();
  for (const [name, value] of Object.entries(changes)) {
    query.delete(name);
    for (const one of [value].flat()) if (one !== null && one !== "") query.append(name, one);
  }
  const text = query.toString();
  history.replaceState(null, "", `${location.pathname}${text ? `?${text}` : ""}${location.hash}`);
}

/** The address of a run. */
export const runAddress = (runId) => `#/runs/${encodeURIComponent(runId)}`;
