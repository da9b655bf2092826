// Announcements for screen readers: few sentences, collected, never the figures.

import { byId } from "./dom.js";

const COLLECT = 2_000;
const endedByStatus = new Map();
const sentences = [];
let timer = 0;

/** Announce a sentence, together with all others of the next two seconds. */
export function announce(sentence) {
  if (!sentences.includes(sentence)) sentences.push(sentence);
  timer ||= setTimeout(flush, COLLECT);
}

/** Announce that a run ended; several become one sentence, such as `3 runs completed`. */
export function announceEnd(status, title) {
  const titles = endedByStatus.get(status) ?? [];
  titles.push(title);
  endedByStatus.set(status, titles);
  timer ||= setTimeout(flush, COLLECT);
}

function flush() {
  timer = 0;
  for (const [status, titles] of endedByStatus) {
    sentences.push(titles.length > 1 ? `${titles.length} runs ${status}.` : `${titles[0]}: ${status}.`);
  }
  endedByStatus.clear();
  byId("announcer").textContent = sentences.splice(0).join(" ");
}
