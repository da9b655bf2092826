// A dialog with a form: it shows what is wrong, sends once, and closes when the server agreed.

import { Problem } from "./api.js";
import { byId } from "./dom.js";

/** The dialog `id`. Its form has a `.problem`, a button `.primary`, and one with `data-cancel`. */
export class FormDialog {
  #send = null;
  #problem;

  constructor(id) {
    this.dialog = byId(id);
    this.form = this.dialog.querySelector("form");
    this.#problem = this.dialog.querySelector(".problem");
    const button = this.form.querySelector(".primary");
    this.form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (button.disabled) return;
      button.disabled = true;
      this.showProblem("");
      try {
        const answered = await this.#send();
        this.dialog.close();
        answered?.();
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.showProblem(error.faults.join("; ") || error.message);
      } finally {
        button.disabled = false;
      }
    });
    this.form.querySelector("[data-cancel]").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close(); // beside the form
    });
  }

  field(name) {
    return this.form.elements.namedItem(name);
  }

  /** A field without spaces at its ends, or `null`. */
  text(name) {
    return this.field(name).value.trim() || null;
  }

  showProblem(text) {
    this.#problem.textContent = text;
    this.#problem.hidden = !text;
  }

  /**
   * Show the empty form. `fill()` sets its fields. `send()` sends them, and may return what to do
   * once the dialog is closed. `closed()` is called at the end in any case.
   */
  open({ fill, send, closed }) {
    this.form.reset();
    this.showProblem("");
    fill?.();
    this.#send = send;
    if (closed) this.dialog.addEventListener("close", closed, { once: true });
    this.dialog.showModal();
  }
}
