// Asks for a token once; it is kept for this tab only.

import { byId } from "./dom.js";

/** Ask for a token. `problem` says what was wrong with the last one. Returns `null` if the user enters none. */
export function askForToken(problem) {
  const dialog = byId("token");
  const input = byId("token-value");
  byId("token-error").textContent = problem;
  byId("token-error").hidden = !problem;
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        // A header can hold only these characters, so remove others that were pasted with it.
        const token = input.value.replace(/[^\x21-\x7e]/g, "");
        input.value = "";
        resolve(token || null);
      },
      { once: true },
    );
  });
}
