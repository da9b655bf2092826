// Buttons that change something are off while the page is disconnected.

const CHANGING =
  ".detail .actions button, #selection button, #try-example, #file, #concept .actions button, .ask .primary," +
  " #pauses button, .view td button, #pause-work";
let offline = false;

/** Turn them on or off. New buttons follow, too. */
export function startConnected(model) {
  model.listen({
    connection(state) {
      offline = state !== "open";
      apply();
    },
  });
  new MutationObserver(() => offline && apply()).observe(document.body, { childList: true, subtree: true });
}

function apply() {
  for (const one of document.querySelectorAll(CHANGING)) {
    if (offline && !one.disabled) {
      one.disabled = true;
      one.dataset.offline = "";
    } else if (!offline && "offline" in one.dataset) {
      one.disabled = false;
      delete one.dataset.offline;
    }
  }
}
