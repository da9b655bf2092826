// The API: requests with the tab's token, and errors as the server words them.

const ROOT = new URL("../", import.meta.url);
const KEY = "paceline-token";
// Milliseconds: a line may be dead without anybody saying so. What is sent may take its time.
const PATIENCE = 30_000;

let askForToken = async () => null;
let asking = null;

/** Say how a token is asked for; it gives one, or `null`. */
export function tokensFrom(ask) {
  askForToken = ask;
}

/** What the server answered instead of what was asked for (RFC 9457). */
export class Problem extends Error {
  constructor(status, { title, detail = "", faults = [] } = {}) {
    const fault = status ? `The server answered ${status}` : "The server did not answer";
    super(detail || title || fault);
    this.status = status;
    this.title = title ?? fault;
    this.faults = Array.isArray(faults) ? faults : [];
  }

  /** Whether the same may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Ask the API. `body` is sent as it is; `as` is `json` or `text`. */
export async function ask(path, { method = "GET", body, headers = {}, as = "json" } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const sent = { ...headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const limit = new AbortController();
    const timer = body ? 0 : setTimeout(() => limit.abort(), PATIENCE);
    let answer;
    try {
      const { signal } = limit;
      answer = await fetch(new URL(path, ROOT), { method, body, headers: sent, signal });
    } catch {
      throw new Problem(0, { detail: "The server cannot be reached." });
    } finally {
      clearTimeout(timer);
    }
    const kind = answer.ok ? as : "json";
    const told = await answer[kind]().catch(() => null);
    const whole = told !== null && typeof told === (kind === "json" ? "object" : "string");
    if (answer.ok && whole) return told;
    if (answer.ok) throw new Problem(0, { detail: "The answer is cut off, or not paceline's." });
    const problem = new Problem(answer.status, whole ? told : {});
    if (answer.status !== 401) throw problem;
    // Another request may have asked meanwhile: then its token is tried.
    if (sessionStorage.getItem(KEY) === token && !(await newToken(token, problem))) throw problem;
  }
}

async function newToken(old, problem) {
  asking ??= askForToken(old ? problem.message : "").finally(() => {
    asking = null;
  });
  const token = await asking;
  if (token) sessionStorage.setItem(KEY, token);
  return Boolean(token);
}

/** The address of a socket, with a ticket where one is needed: a socket sends no header. */
export async function socketAddress(path, query = {}) {
  const address = new URL(path, ROOT);
  address.protocol = address.protocol.replace("http", "ws");
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  const { ticket } = sessionStorage.getItem(KEY)
    ? await ask("api/tickets", { method: "POST" })
    : {};
  if (ticket) address.searchParams.set("ticket", ticket);
  return address;
}

export const runPath = (runId) => `api/runs/${encodeURIComponent(runId)}`;

/** Where a concept is asked for. */
export function conceptPath(runId, conceptId) {
  if (conceptId === "." || conceptId === "..") {
    const detail = "No address leads to a concept with this id: it is a step within a path.";
    throw new Problem(404, { title: "Concept not shown", detail });
  }
  return `${runPath(runId)}/concepts/${encodeURIComponent(conceptId)}`;
}
