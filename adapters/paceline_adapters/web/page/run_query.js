// The filter, order and page of the list, which the address keeps, and the requests for them.

import { request } from "./api.js";
import { setShown, shown } from "./place.js";

export const SHOWN = 100;
// A search looks at a bounded number of runs per request. If it finds few, the page sends up to this many.
const REQUESTS = 5;
const NAMES = ["q", "status", "tenant", "since", "until", "order", "before"];

/** The filter of the address. */
export function query() {
  const all = shown();
  return Object.fromEntries(NAMES.map((name) => [name, all.get(name) ?? ""]));
}

/** Change the filter. Another filter begins at its first page. */
export const setQuery = (changes) => setShown({ before: null, ...changes });

/** Whether the list is only a part of the runs, so that the server must search. */
export const isSearch = (one) => NAMES.some((name) => one[name]);

/** The runs of the page, and the run to continue after. */
export async function search(one) {
  const parameters = new URLSearchParams({ limit: SHOWN, totals: "true" });
  if (one.q) parameters.set("q", one.q);
  if (one.tenant) parameters.set("tenant", one.tenant);
  if (one.order) parameters.set("order", one.order);
  for (const status of one.status.split(",").filter(Boolean)) parameters.append("status", status);
  if (one.since) parameters.set("since", dayStart(one.since, 0));
  if (one.until) parameters.set("until", dayStart(one.until, 1));
  let before = one.before || null;
  const runs = [];
  for (let sent = 0; sent < REQUESTS; sent += 1) {
    if (before) parameters.set("before", before);
    const page = await request(`api/runs?${parameters}`);
    runs.push(...page.runs);
    before = page.before;
    if (!before || runs.length >= SHOWN) break;
  }
  return { runs, before };
}

/** The start of a day here, some days later, as the server takes it. */
function dayStart(day, later) {
  const [year, month, date] = day.split("-").map(Number);
  return new Date(year, month - 1, date + later).toISOString();
}
