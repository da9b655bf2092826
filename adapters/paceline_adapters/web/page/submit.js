// Roadmaps, by a button or dropped anywhere on the page; each says what became of it.

import { Problem, ask } from "./api.js";
import { byId, make } from "./dom.js";

const MOST_FAULTS = 10;

/** Take files; `submitted(run)` hears of each run that came of one. */
export function startSubmit(submitted) {
  const input = byId("file");
  input.addEventListener("change", () => {
    takeAll([...input.files], submitted);
    input.value = ""; // the same file may be chosen again
  });
  let depth = 0;
  const over = (on) => document.body.classList.toggle("dropping", on);
  const files = (event) => event.dataTransfer.types.includes("Files"); // not a dragged word
  addEventListener("dragenter", (event) => files(event) && over(++depth > 0));
  addEventListener("dragleave", (event) => files(event) && over(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    takeAll([...event.dataTransfer.files], submitted);
  });
}

/** A token that may only read submits nothing: it is not asked to. */
export function forbidSubmit() {
  document.querySelector(".submit").replaceChildren(
    make("span", { class: "hint" }, "This token may only read."),
  );
}

async function takeAll(files, submitted) {
  for (const file of files) await take(file, submitted);
}

async function take(file, submitted) {
  // One key for this file, now: what is sent twice by a bad line is one run.
  const key = [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  const send = async () => {
    try {
      const { run } = await ask("api/runs", {
        method: "POST",
        body: await bytesOf(file),
        headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      });
      note.remove();
      submitted(run);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      refused(note, file, error, send);
    }
  };
  const note = make(
    "div",
    { class: "submission", role: "status" },
    make("p", {}, "Submitting ", make("bdi", {}, file.name), "…"),
  );
  byId("submissions").append(note);
  await send();
}

/** What is in a file; a folder, or what has gone since it was chosen, has nothing. */
async function bytesOf(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new Problem(400, { title: "Not a file", detail: "It cannot be read: is it a folder?" });
  }
}

function refused(note, file, problem, again) {
  const faults = problem.faults.slice(0, MOST_FAULTS);
  const more = problem.faults.length - faults.length;
  const dismiss = make("button", { type: "button", "aria-label": `Dismiss ${file.name}` }, "✕");
  dismiss.addEventListener("click", () => note.remove());
  const retry = make("button", { type: "button" }, "Try again");
  retry.addEventListener("click", again);
  note.className = "submission problem";
  note.setAttribute("role", "alert");
  note.replaceChildren(
    make("p", {}, make("b", {}, make("bdi", {}, file.name), " was not taken. "), problem.message),
    ...(faults.length ? [make("ul", {}, ...faults.map((one) => make("li", {}, one)))] : []),
    ...(more > 0 ? [make("p", { class: "hint" }, `and ${more} more`)] : []),
    ...(problem.passing ? [retry] : []),
    dismiss,
  );
}
