"use strict";
(() => {
  const root = document.documentElement;
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  root.classList.add("scripted");

  // Theme: the system's, or the user's choice, saved if the browser allows it.
  const themes = ["system", "light", "dark"];
  const button = one("#theme");
  const remember = (theme) => {
    try { localStorage.setItem("paceline-theme", theme); } catch { /* pages from files may have no storage */ }
  };
  const remembered = () => {
    try { return localStorage.getItem("paceline-theme"); } catch { return null; }
  };
  const applyTheme = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    button.dataset.theme = theme;
  };
  applyTheme(themes.includes(remembered()) ? remembered() : "system");
  button.addEventListener("click", () => {
    const theme = themes[(themes.indexOf(button.dataset.theme) + 1) % themes.length];
    applyTheme(theme);
    remember(theme);
  });

  // Show one heatmap at a time.
  const figure = one("#figure");
  if (figure) {
    const show = () => all(".map").forEach((map) => {
      map.hidden = map.dataset.figure !== figure.value;
    });
    figure.addEventListener("change", show);
    figure.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const count = figure.options.length;
      figure.selectedIndex = (figure.selectedIndex + step + count) % count;
      show();
    });
    show();
  }

  // Tooltips for pointer and keyboard.
  const tip = one("#tip");
  const hide = () => { tip.hidden = true; };
  const showTip = (target) => {
    tip.textContent = target.dataset.tip;
    tip.hidden = false;
    const box = target.getBoundingClientRect();
    const left = box.left + box.width / 2 - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(8, Math.min(left, innerWidth - tip.offsetWidth - 8))}px`;
    const above = box.top - tip.offsetHeight - 6;
    tip.style.top = `${above < 4 ? box.bottom + 6 : above}px`;
  };
  all("#matrix td[title], #figures td[title], #figures th[title]").forEach((field) => {
    field.dataset.tip = field.title;
    field.removeAttribute("title");
    field.addEventListener("pointerenter", () => showTip(field));
    field.addEventListener("pointerleave", hide);
    field.addEventListener("focusin", () => showTip(field));
    field.addEventListener("focusout", hide);
  });
  addEventListener("scroll", hide, { passive: true, capture: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

  // Sorting: a second click reverses the order; missing values stay last.
  all("table.sortable").forEach((table) => {
    const heads = all("thead th", table);
    heads.forEach((head, column) => one("button", head).addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const field = row.cells[column];
        if (column === 0) return field.textContent;
        return "value" in field.dataset ? Number(field.dataset.value) : null;
      };
      const body = one("tbody", table);
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        const sign = typeof x === "string" ? x.localeCompare(y) : x - y;
        return up ? sign : -sign;
      };
      body.append(...[...body.rows].sort(order));
    }));
  });

  // Ratios to another base cell, paired by round like the page's own ratios.
  const cells = JSON.parse(one("#data").textContent);
  const base = one("#base");
  const median = (values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const half = sorted.length / 2;
    return sorted.length % 2 ? sorted[Math.floor(half)] : (sorted[half - 1] + sorted[half]) / 2;
  };
  const number = (value) => {
    if (value < 9.995) return value.toFixed(2);
    if (value < 99.95) return value.toFixed(1);
    return value.toFixed(0).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  };
  base.addEventListener("change", () => {
    const theirs = cells[Number(base.value)];
    one("#base-name").textContent = theirs.name;
    all(".ratio").forEach((field) => {
      const { cell, figure: name } = field.dataset;
      const mine = cells[Number(cell)].figures[name] ?? [];
      const others = theirs.figures[name] ?? [];
      const ratios = mine
        .map((value, round) => (value === null || !others[round] ? null : value / others[round]))
        .filter((ratio) => ratio !== null);
      field.textContent = ratios.length ? `× ${number(median(ratios))}` : "";
    });
  });

  // Copy with the clipboard API if it is available, otherwise with the selection.
  all(".copy").forEach((copy) => copy.addEventListener("click", async () => {
    const code = one("code", copy.closest("figure"));
    const select = () => {
      getSelection().selectAllChildren(code);
      return document.execCommand("copy");
    };
    let done = false;
    try {
      await navigator.clipboard.writeText(code.textContent);
      done = true;
    } catch {
      done = select();
    }
    copy.textContent = done ? "Copied" : "Selected";
  }));
})();
