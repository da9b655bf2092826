// The API: requests with the token of this tab, and errors in the words of the server.

const ROOT = new URL("../", import.meta.url);
const KEY = "paceline-token";
// Milliseconds to wait for an answer, because a dead connection gives no error. Uploads may take longer.
const TIMEOUT = 30_000;

let askForToken = async () => null;
let pendingToken = null;

/** Set the function that asks the user for a token; it returns a token or `null`. */
export function setTokenPrompt(prompt) {
  askForToken = prompt;
}

/** An error answer of the server (RFC 9457). */
export class Problem extends Error {
  constructor(status, { title, detail = "", faults = [] } = {}) {
    const fault = status ? `The server answered ${status}` : "The server did not answer";
    super(detail || title || fault);
    this.status = status;
    this.title = title ?? fault;
    this.faults = Array.isArray(faults) ? faults : [];
  }

  /** Whether the same request may succeed later. */
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** Send a request to the API. `body` is sent unchanged; `as` is `json` or `text`. */
export async function request(path, { method = "GET", body, headers = {}, as = "json" } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const sent = { ...headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const limit = new AbortController();
    const timer = body ? 0 : setTimeout(() => limit.abort(), TIMEOUT);
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
    const content = await answer[kind]().catch(() => null);
    const valid = content !== null && typeof content === (kind === "json" ? "object" : "string");
    if (answer.ok && valid) return content;
    if (answer.ok) throw new Problem(0, { detail: "The answer is incomplete, or not from paceline." });
    const problem = new Problem(answer.status, valid ? content : {});
    if (answer.status !== 401) throw problem;
    // Another request may have got a token meanwhile. If so, try that one.
    if (sessionStorage.getItem(KEY) === token && !(await newToken(token, problem))) throw problem;
  }
}

async function newToken(old, problem) {
  pendingToken ??= askForToken(old ? problem.message : "").finally(() => {
    pendingToken = null;
  });
  const token = await pendingToken;
  if (token) sessionStorage.setItem(KEY, token);
  return Boolean(token);
}

/** The address of a socket; with a ticket if there is a token, because a socket sends no header. */
export async function socketAddress(path, query = {}) {
  const address = new URL(path, ROOT);
  address.protocol = address.protocol.replace("http", "ws");
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  const { ticket } = sessionStorage.getItem(KEY)
    ? await request("api/tickets", { method: "POST" })
    : {};
  if (ticket) address.searchParams.set("ticket", ticket);
  return address;
}

/** Send an object as JSON. */
export const postJson = (path, body) =>
  request(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });

export const runPath = (runId) => `api/runs/${encodeURIComponent(runId)}`;

/** The path of an artifact in the API. */
export const artifactPath = (runId, conceptId, step) =>
  `${conceptPath(runId, conceptId)}/artifacts/${encodeURIComponent(step)}`;

/** The path of a concept in the API. */
export function conceptPath(runId, conceptId) {
  if (conceptId === "." || conceptId === "..") {
    const detail = `The API has no address for the concept id "${conceptId}".`;
    throw new Problem(404, { title: "Concept not shown", detail });
  }
  return `${runPath(runId)}/concepts/${encodeURIComponent(conceptId)}`;
}
