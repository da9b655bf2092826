// Elements, made and changed without markup: whatever is shown is text, never HTML.

/** Make an element: attributes by name, `on…` as listeners, children as nodes or text. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Set a text only where it is another one, so that nothing is laid out for nothing. */
export function say(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Set or remove an attribute only where it is another one. */
export function mark(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

const waiting = new Map();

/** Do something in the next frame; of several under one key, the last. */
export function inFrame(key, work) {
  if (!waiting.size) requestAnimationFrame(flush);
  waiting.set(key, work);
}

function flush() {
  const due = [...waiting.values()];
  waiting.clear();
  for (const work of due) work();
}

export const byId = (id) => document.getElementById(id);
