// Light or dark: as the system says, until the user chooses. Only a choice is kept.

import { byId } from "./dom.js";

const KEY = "paceline-theme";

function stored() {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return ""; // the browser keeps nothing for this page
  }
}

function apply(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

export function startTheme() {
  const field = byId("theme");
  field.value = stored();
  apply(field.value);
  field.addEventListener("change", () => {
    apply(field.value);
    try {
      if (field.value) localStorage.setItem(KEY, field.value);
      else localStorage.removeItem(KEY);
    } catch {
      // it applies until the page is closed
    }
  });
}
