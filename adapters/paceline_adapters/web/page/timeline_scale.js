// Where a moment of a run is on the axis. Long pauses, such as a night before a resume, are cut.

const WIDTH = 1000;
// A pause is cut if it is longer than this, and longer than this share of all work.
const PAUSE = 20_000;
const SHARE = 0.25;
// Width of a cut pause, as a share of all work.
const CUT = 0.03;
const NICE = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];
const TICKS = 8;

/** A scale over spans of work, `[start, end]` in milliseconds. */
export class Scale {
  #pieces = [];
  #units = 0;

  constructor(spans) {
    const busy = merged(spans);
    const work = busy.reduce((sum, [start, end]) => sum + end - start, 0);
    const longest = Math.max(PAUSE, SHARE * work);
    let at = 0;
    busy.forEach(([start, end], index) => {
      const next = busy[index + 1]?.[0] ?? end;
      this.#pieces.push({ start, end, at, units: end - start });
      at += end - start;
      const pause = next - end;
      if (pause <= 0) return;
      const units = pause > longest ? CUT * Math.max(work, 1) : pause;
      this.#pieces.push({ start: end, end: next, at, units, cut: pause > longest });
      at += units;
    });
    this.#units = Math.max(at, 1);
  }

  static width = WIDTH;

  get start() {
    return this.#pieces[0]?.start ?? 0;
  }

  /** The place of a moment, from 0 to 1000. */
  x(time) {
    const pieces = this.#pieces;
    let low = 0;
    let high = pieces.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (pieces[middle].start <= time) low = middle;
      else high = middle - 1;
    }
    const piece = pieces[low];
    if (!piece) return 0;
    const share = piece.end > piece.start ? (time - piece.start) / (piece.end - piece.start) : 0;
    const units = piece.at + Math.min(1, Math.max(0, share)) * piece.units;
    return (WIDTH * units) / this.#units;
  }

  /** The pauses that are cut. */
  get cuts() {
    return this.#pieces.filter((one) => one.cut);
  }

  /** Moments to label: milliseconds since 1970, and seconds since the start of their piece of work. */
  ticks() {
    const step = 1000 * (NICE.find((one) => (this.#units / 1000 / one) <= TICKS) ?? NICE.at(-1));
    const found = [];
    let from = this.start;
    for (const piece of this.#pieces) {
      if (piece.cut) {
        from = piece.end;
        continue;
      }
      const first = from + step * Math.ceil((piece.start - from) / step);
      for (let time = first; time <= piece.end; time += step) found.push({ time, seconds: (time - from) / 1000 });
    }
    return found;
  }
}

function merged(spans) {
  const sorted = [...spans].sort((a, b) => a[0] - b[0]);
  const found = [];
  for (const [start, end] of sorted) {
    const last = found.at(-1);
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else found.push([start, end]);
  }
  return found;
}
