// Submits roadmap files, chosen by a button or dropped on the page, and shows what is wrong with each.

import { Problem, request } from "./api.js";
import { byId, make } from "./dom.js";

const MAX_FAULTS = 10;

/** Accept files; `submitted(run)` is called for each run that was submitted. */
export function startSubmit(submitted) {
  const input = byId("file");
  const chosen = () => {
    submitAll([...input.files], submitted);
    input.value = ""; // the same file may be chosen again
  };
  input.addEventListener("change", chosen);
  byId("try-example").addEventListener("click", () => tryExample(submitted));
  chosen(); // files that were chosen while the page was loading
  let depth = 0;
  const over = (on) => document.body.classList.toggle("dropping", on);
  const files = (event) => event.dataTransfer.types.includes("Files"); // not dragged text
  addEventListener("dragenter", (event) => files(event) && over(++depth > 0));
  addEventListener("dragleave", (event) => files(event) && over(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(false);
    submitAll([...event.dataTransfer.files], submitted);
  });
}

/** Submit the example that comes with the page. */
async function tryExample(submitted) {
  const button = byId("try-example");
  button.disabled = true;
  try {
    const answer = await fetch(new URL("example.json", import.meta.url));
    await submit(new File([await answer.blob()], "example.json"), submitted);
  } finally {
    button.disabled = false;
  }
}

const mediaType = (name) => (/\.ya?ml$/i.test(name) ? "application/yaml" : "application/json");

/** Replace the button if the token is read-only. */
export function disableSubmit() {
  byId("try-example").hidden = true;
  document.querySelector(".submit").replaceChildren(
    make("span", { class: "hint" }, "This token is read-only."),
  );
}

async function submitAll(files, submitted) {
  for (const file of files) await submit(file, submitted);
}

async function submit(file, submitted) {
  // One key per file: if a retry sends the file twice, both are one run.
  const key = [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join("");
  const priority = byId("priority")?.value; // a retry sends the same
  const send = async () => {
    try {
      const { run } = await request(`api/runs${priority ? `?priority=${priority}` : ""}`, {
        method: "POST",
        body: await bytesOf(file),
        headers: { "Content-Type": mediaType(file.name), "Idempotency-Key": key },
      });
      note.remove();
      submitted(run);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      showProblem(note, file, error, send);
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

/** The bytes of a file; this fails for folders and deleted files. */
async function bytesOf(file) {
  try {
    return await file.arrayBuffer();
  } catch {
    throw new Problem(400, { title: "Not a file", detail: "The file cannot be read. Is it a folder?" });
  }
}

function showProblem(note, file, problem, again) {
  const faults = problem.faults.slice(0, MAX_FAULTS);
  const more = problem.faults.length - faults.length;
  const dismiss = make("button", { type: "button", "aria-label": `Dismiss ${file.name}` }, "✕");
  dismiss.addEventListener("click", () => note.remove());
  const retry = make("button", { type: "button" }, "Try again");
  retry.addEventListener("click", again);
  note.className = "submission problem";
  note.setAttribute("role", "alert");
  note.replaceChildren(
    make("p", {}, make("b", {}, make("bdi", {}, file.name), " was not submitted. "), problem.message),
    ...(faults.length ? [make("ul", {}, ...faults.map((one) => make("li", {}, one)))] : []),
    ...(more > 0 ? [make("p", { class: "hint" }, `and ${more} more`)] : []),
    ...(problem.temporary ? [retry] : []),
    dismiss,
  );
}
