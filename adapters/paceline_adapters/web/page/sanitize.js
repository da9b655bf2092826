// Shows HTML of model output. The server has cleaned it. This code copies only allowed nodes, so
// that a mistake of the server cannot run code in the page.

import { make } from "./dom.js";

const TAGS = new Set(
  (
    "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre strong table tbody td th thead " +
    "tr ul"
  ).split(" "),
);
// The sheet has its own heading of a higher level.
const LOWERED = { h1: "h3", h2: "h3", h3: "h4", h4: "h5", h5: "h6" };

/** The address as a URL if it is safe to link to, else `null`. */
export function safeAddress(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/** A link to another site, or only its text if the address is not safe. */
export function linkOut(address, ...children) {
  const url = safeAddress(address);
  if (!url) return make("span", {}, ...children);
  return make(
    "a",
    { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" },
    ...children,
  );
}

/** HTML as nodes: allowed elements with no attribute except a safe `href`, and the text of others. */
export function sanitized(html) {
  const inert = new DOMParser().parseFromString(html, "text/html");
  return sanitizedChildren(inert.body);
}

function sanitizedChildren(parent) {
  const nodes = [];
  for (const child of parent.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) nodes.push(child.data);
    else if (child.nodeType === Node.ELEMENT_NODE) nodes.push(...sanitizedElement(child));
  }
  return nodes;
}

function sanitizedElement(element) {
  const tag = element.localName;
  if (["script", "style", "template"].includes(tag)) return [];
  const inner = sanitizedChildren(element);
  if (element.namespaceURI !== "http://www.w3.org/1999/xhtml" || !TAGS.has(tag)) return inner;
  if (tag === "a") return [linkOut(element.getAttribute("href") ?? "", ...inner)];
  // A table that is wider than the page scrolls by itself, also with the keyboard.
  if (tag === "table") return [make("div", { class: "wide", tabindex: "0" }, make(tag, {}, ...inner))];
  return [make(LOWERED[tag] ?? tag, tag === "pre" ? { tabindex: "0" } : {}, ...inner)];
}
