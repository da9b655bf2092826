// What a screen reader is told: few sentences, gathered, never the figures.

import { byId } from "./dom.js";

const GATHER = 2_000;
const counted = new Map();
const once = [];
let timer = 0;

/** Say a sentence, together with what else is said within two seconds. */
export function announce(sentence) {
  if (!once.includes(sentence)) once.push(sentence);
  timer ||= setTimeout(flush, GATHER);
}

/** Say that so many of a kind happened: `3 runs completed` instead of three sentences. */
export function announceEnd(status, title) {
  const titles = counted.get(status) ?? [];
  titles.push(title);
  counted.set(status, titles);
  timer ||= setTimeout(flush, GATHER);
}

function flush() {
  timer = 0;
  for (const [status, titles] of counted) {
    once.push(titles.length > 1 ? `${titles.length} runs ${status}.` : `${titles[0]}: ${status}.`);
  }
  counted.clear();
  byId("announcer").textContent = once.splice(0).join(" ");
}
