// What calls have cost, and one notice when 80 % of a budget is spent.

import { Problem, request } from "./api.js";
import { announce } from "./announce.js";
import { moneyText } from "./artifacts.js";
import { byId, inNextFrame, make, setText } from "./dom.js";

const EVERY = 15_000;
// Maximum number of lines of the table, and of budgets in the notice.
const LINES = 20;
const BUDGETS = 3;
const NAMELESS = { model: "calls without an artifact", step: "unknown" };
const NEWEST_FIRST = ["run", "day"];

const announced = new Set();
let model;

export function startCosts(costsModel) {
  model = costsModel;
  byId("costs-by").addEventListener("change", load);
  byId("costs").addEventListener("toggle", load);
  load();
  setInterval(load, EVERY);
}

async function load() {
  if (document.hidden) return;
  const by = byId("costs-by").value;
  const open = byId("costs").open;
  // One line more than the table shows: then it says that there are more.
  const limit = NEWEST_FIRST.includes(by) ? `&limit=${LINES + 1}` : "";
  let total, sums, budgets;
  try {
    [total, sums, budgets] = await Promise.all([
      request("api/costs?by=model"),
      open ? request(`api/costs?by=${by}${limit}`) : null,
      request("api/budgets"),
    ]);
  } catch (error) {
    if (error instanceof Problem) return; // the line of the connection shows it
    throw error;
  }
  inNextFrame("costs", () => {
    showTotal(total);
    if (sums && by === byId("costs-by").value) showTable(sums);
    showBudgets(budgets.budgets);
  });
}

function showTotal({ costs, currency }) {
  const spent = costs.filter((one) => one.attempts > 0);
  byId("costs").hidden = !spent.length;
  const priced = spent.filter((one) => one.cost !== null);
  const sum = {
    cost: priced.length ? priced.reduce((cost, one) => cost + one.cost, 0) : null,
    estimated: spent.some((one) => one.estimated),
  };
  const partly = priced.length && priced.length < spent.length ? " (some prices are unknown)" : "";
  setText(byId("costs-total"), moneyText(sum, currency) + partly);
}

function showTable({ by, costs, currency }) {
  const lines = costs.filter((one) => one.attempts > 0);
  if (!NEWEST_FIRST.includes(by)) lines.sort((a, b) => (b.cost ?? -1) - (a.cost ?? -1));
  const rows = lines.slice(0, LINES).map((one) => {
    const tokens = one.prompt_tokens + one.completion_tokens;
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, nameOf(by, one.name)),
      make("td", {}, one.attempts.toLocaleString()),
      make("td", {}, (one.estimated ? "~" : "") + tokens.toLocaleString()),
      make("td", {}, moneyText(one, currency)),
    );
  });
  const focused = focusedLink();
  byId("costs-lines").replaceChildren(...rows);
  const links = [...byId("costs-lines").querySelectorAll("a")];
  if (focused) links.find((one) => one.getAttribute("href") === focused)?.focus();
  setText(byId("costs-name"), by);
  const more = costs.length > LINES ? `There are more: paceline costs --by ${by}` : "";
  setText(byId("costs-more"), more);
  byId("costs-more").hidden = !more;
}

/** The address of the link in the table that has the focus, which a new table must keep. */
const focusedLink = () =>
  byId("costs-lines").contains(document.activeElement)
    ? document.activeElement.getAttribute("href")
    : null;

function nameOf(by, name) {
  if (by !== "run") return name || NAMELESS[by] || "";
  const title = model.runs.get(name)?.title ?? name;
  return make("a", { href: `#/runs/${encodeURIComponent(name)}` }, title);
}

function showBudgets(budgets) {
  const low = budgets.filter((one) => one.low);
  const states = low.slice(0, BUDGETS).map((one) => one.state);
  if (low.length > BUDGETS) states.push(`and ${low.length - BUDGETS} more`);
  const text = low.length ? `Budget: 80 % or more is used: ${states.join("; ")}` : "";
  setText(byId("budget"), text);
  byId("budget").hidden = !text;
  for (const { scope, tenant, model: of, period, state } of low) {
    const key = JSON.stringify([scope, tenant, of, period]);
    if (!announced.has(key)) announce(`Budget: ${state}.`);
    announced.add(key);
  }
}
