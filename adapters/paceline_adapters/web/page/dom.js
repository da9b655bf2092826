// Makes and changes elements without markup: everything is inserted as text, never as HTML.

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
export function makeSvg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Set an element's text, unless it has it already: this avoids a needless layout. */
export function setText(element, text) {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Set or remove an attribute, unless it has the value already. */
export function setAttr(element, name, value) {
  if (value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

const scheduled = new Map();

/** Do something in the next frame. Of several calls with one key, only the last counts. */
export function inNextFrame(key, work) {
  if (!scheduled.size) requestAnimationFrame(flush);
  scheduled.set(key, work);
}

function flush() {
  const due = [...scheduled.values()];
  scheduled.clear();
  for (const work of due) work();
}

export const byId = (id) => document.getElementById(id);
