// Model output that is shown. The server has cleaned its HTML; this takes over, node by node, what
// is allowed and nothing else, so that no mistake there runs anything here.

import { make } from "./dom.js";

const TAGS = new Set(
  (
    "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre strong table tbody td th thead " +
    "tr ul"
  ).split(" "),
);
// The sheet has a heading of its own above.
const LOWERED = { h1: "h3", h2: "h3", h3: "h4", h4: "h5", h5: "h6" };

/** The address as it may be linked to, or `null`. */
export function safeAddress(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url : null;
  } catch {
    return null;
  }
}

/** A link out of the page, or its text alone where the address is not one to follow. */
export function linkOut(address, ...children) {
  const url = safeAddress(address);
  if (!url) return make("span", {}, ...children);
  return make(
    "a",
    { href: url.href, target: "_blank", rel: "noopener noreferrer nofollow" },
    ...children,
  );
}

/** HTML as nodes: allowed elements with no attribute but a safe `href`; others by their text. */
export function nodesOf(html) {
  const inert = new DOMParser().parseFromString(html, "text/html");
  return taken(inert.body);
}

function taken(parent) {
  const nodes = [];
  for (const child of parent.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) nodes.push(child.data);
    else if (child.nodeType === Node.ELEMENT_NODE) nodes.push(...takenElement(child));
  }
  return nodes;
}

function takenElement(element) {
  const tag = element.localName;
  if (["script", "style", "template"].includes(tag)) return [];
  const inner = taken(element);
  if (element.namespaceURI !== "http://www.w3.org/1999/xhtml" || !TAGS.has(tag)) return inner;
  if (tag === "a") return [linkOut(element.getAttribute("href") ?? "", ...inner)];
  // What is wider than the page scrolls by itself, with the keyboard too.
  if (tag === "table") return [make("div", { class: "wide", tabindex: "0" }, make(tag, {}, ...inner))];
  return [make(LOWERED[tag] ?? tag, tag === "pre" ? { tabindex: "0" } : {}, ...inner)];
}
