// The list of runs: filters, a page of rows that are updated in place, and what is selected.

import { announceEnd } from "./announce.js";
import { Problem, request } from "./api.js";
import { byId, inNextFrame, setAttr, setText } from "./dom.js";
import { unfinished } from "./model.js";
import { isSearch, query, search, setQuery, SHOWN } from "./run_query.js";
import { Row } from "./run_row.js";
import { isSelected, select, startSelection } from "./selection.js";

const EVERY = 3_000;
const TYPING = 250;
const SOON = 400;
const FIELDS = ["q", "status", "tenant", "since", "until", "order"];

const rows = new Map();
let model;
let mayWrite = false;
// The page of a search: ids in order and the next page; `null` while the list is not a search.
let found = null;
let searches = 0;
let reloading = 0;
let current = "";

export function startRuns(runsModel, session) {
  model = runsModel;
  mayWrite = session.scope === "write";
  byId("filter-tenant").hidden = session.token_required;
  startSelection(model, () => inNextFrame("list", order));
  model.listen({
    run(run, known) {
      inNextFrame(`run ${run.run_id}`, () => {
        const now = model.runs.get(run.run_id);
        if (now) rows.get(run.run_id)?.show(now);
      });
      if (known && known.status !== run.status) {
        if (unfinished(known) && !unfinished(run)) announceEnd(run.status, run.title);
        list();
        searchSoon();
      }
    },
    list() {
      list();
      searchSoon();
    },
    fault: (problem) => showEmpty(problem.message),
    connection: (state) => state === "open" && searchSoon(),
  });
  for (const name of FIELDS) {
    const field = fieldOf(name);
    let typing = 0;
    field.addEventListener(name === "q" || name === "tenant" ? "input" : "change", () => {
      clearTimeout(typing);
      typing = setTimeout(() => changeQuery({ [name]: field.value.trim() }), name === "q" ? TYPING : 0);
    });
  }
  byId("older").addEventListener("click", () => {
    setQuery({ before: found ? found.before : model.before });
    startAgain();
    byId("runs-title").focus();
  });
  byId("newest").addEventListener("click", () => {
    setQuery({});
    startAgain();
    byId("runs-title").focus();
  });
  byId("clear-filters").addEventListener("click", () => {
    changeQuery(Object.fromEntries(FIELDS.map((name) => [name, null])));
    fillFields();
    fieldOf("q").focus();
  });
  byId("select-all").hidden = !mayWrite;
  byId("select-all").addEventListener("click", () => {
    select(shownRuns().map((run) => run.run_id), true);
    inNextFrame("list", order);
  });
  byId("runs").addEventListener("keydown", moveFocus);
  addEventListener("popstate", startAgain);
  setInterval(refresh, EVERY);
  fillFields();
  startAgain();
}

const fieldOf = (name) => byId(name === "status" ? "filter" : `filter-${name}`);

function fillFields() {
  const now = query();
  for (const name of FIELDS) fieldOf(name).value = now[name];
  if (now.tenant || now.since || now.until) byId("more-filters").open = true;
}

function changeQuery(changes) {
  setQuery(changes);
  startAgain();
}

/** Show the page that the address names. */
function startAgain() {
  const now = query();
  byId("newest").hidden = !now.before;
  byId("clear-filters").hidden = !FIELDS.some((name) => now[name]);
  if (isSearch(now)) load();
  else {
    searches += 1;
    found = null;
    list();
  }
}

function searchSoon() {
  if (!isSearch(query())) return;
  reloading ||= setTimeout(() => {
    reloading = 0;
    load();
  }, SOON);
}

async function load() {
  const number = ++searches;
  const one = query();
  if (!isSearch(one)) return;
  try {
    const page = await search(one);
    if (number !== searches) return;
    found = { ids: page.runs.map((run) => run.run_id), before: page.before };
    for (const run of page.runs) model.putQuietly(run);
    list();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (number === searches) showEmpty(error.message);
  }
}

/** Ask again for what changes without an event: artifacts, times and costs of running runs. */
async function refresh() {
  if (document.hidden) return;
  if (!shownRuns().some((run) => run.status === "running")) return;
  if (found) load();
  else {
    const page = await request("api/runs?status=running&limit=100&totals=true").catch(() => null);
    for (const run of page?.runs ?? []) model.merge(run);
  }
}

function rowOf(runId) {
  let row = rows.get(runId);
  if (!row) {
    row = new Row(runId, mayWrite ? (id, on) => select([id], on) : null);
    setAttr(row.link, "aria-current", runId === current ? "page" : null);
    rows.set(runId, row);
  }
  return row;
}

const list = () => inNextFrame("list", order);

const RANKS = { running: 0, queued: 1, paused: 2 };
const rank = (run) => RANKS[run.status] ?? 3;

/** Running runs first, queued ones in the order in which they start, paused ones, ended ones, newest first. */
function inOrder(a, b) {
  const older = a.run_id < b.run_id ? -1 : 1;
  return rank(a) - rank(b) || (a.status === "queued" ? older : -older);
}

function shownRuns() {
  if (found) return found.ids.map((id) => model.runs.get(id)).filter(Boolean);
  return [...model.runs.values()].sort(inOrder).slice(0, SHOWN);
}

/** Put the rows in order, and move only those that are not in their place. */
function order() {
  const now = query();
  if (isSearch(now) && !found) return; // the first page is on its way
  const runs = shownRuns();
  const place = byId("runs");
  const focused = document.activeElement;
  const wanted = new Set(runs.map((run) => run.run_id));
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
  runs.forEach((run, index) => {
    const row = rowOf(run.run_id);
    if (row.run !== run) row.show(run);
    row.select(isSelected(run.run_id));
    if (place.children[index] !== row.element) {
      place.insertBefore(row.element, place.children[index] ?? null);
    }
  });
  if (place.contains(focused) && document.activeElement !== focused) focused.focus();
  const next = found ? found.before : model.before;
  byId("older").hidden = !next;
  setText(byId("older"), now.order === "oldest" ? "Newer runs" : "Older runs");
  setText(byId("newest"), now.order === "oldest" ? "Oldest runs" : "Newest runs");
  showEmpty(runs.length ? "" : emptyText(now));
  byId("welcome").hidden = runs.length > 0 || isSearch(now) || !model.loaded;
}

const emptyText = (now) =>
  isSearch(now)
    ? FIELDS.every((name) => !now[name] || name === "status") && now.status
      ? "No run has this status."
      : "No run matches these filters."
    : "No runs yet. Submit a roadmap as JSON or YAML, or drop its file on this page.";

function showEmpty(text) {
  setText(byId("runs-empty"), text);
  byId("runs-empty").hidden = !text;
}

/** The arrow keys move between runs. */
function moveFocus(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || event.target.localName === "input") return;
  const links = [...byId("runs").querySelectorAll("a")];
  const next = links[links.indexOf(document.activeElement) + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

/** Mark the run that is open. */
export function markCurrent(runId) {
  current = runId;
  for (const [id, row] of rows) setAttr(row.link, "aria-current", id === runId ? "page" : null);
}

/** Focus a run's row, or the heading of the list. */
export function focusRun(runId) {
  const row = rows.get(runId);
  (row?.link.isConnected ? row.link : byId("runs-title")).focus();
}
