// Lets an answer grow letter by letter, however large the pieces are in which it comes. Never more than a moment behind.

const CATCH_UP_MS = 250; // what is behind is shown within about this time …
const LEAST_PER_MS = 0.25; // … and at least at this pace, in characters

const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Text that is on its way onto the screen: `shown` is its visible beginning. */
export class Reveal {
  constructor(onStep) {
    Object.assign(this, { onStep, letters: [], count: 0, frame: null, whenDone: null });
  }

  get shown() {
    return this.letters.slice(0, this.count).join("");
  }

  get text() {
    return this.letters.join("");
  }

  /** Put `text` after the first `offset` characters: code points, as the server counts them. */
  put(text, offset) {
    this.letters = [...this.letters.slice(0, offset), ...text];
    this.count = Math.min(this.count, offset);
    this.run();
  }

  /** Call back once all of it is to be seen. */
  finish(whenDone) {
    this.whenDone = whenDone;
    this.run();
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.whenDone = null;
  }

  run() {
    // A hidden page is given no frames, and nobody sees it.
    if (still.matches || document.hidden) this.count = this.letters.length;
    if (this.count >= this.letters.length) return this.done();
    if (this.frame === null) this.frame = requestAnimationFrame((now) => this.step(now, now - 16));
  }

  step(now, before) {
    const behind = this.letters.length - this.count;
    const pace = Math.max(LEAST_PER_MS, behind / CATCH_UP_MS);
    this.count = Math.min(this.letters.length, this.count + Math.max(1, Math.round(pace * (now - before))));
    this.onStep();
    if (this.count >= this.letters.length || document.hidden) {
      this.frame = null;
      this.run();
    } else {
      this.frame = requestAnimationFrame((next) => this.step(next, now));
    }
  }

  done() {
    this.onStep();
    const { whenDone } = this;
    this.whenDone = null;
    whenDone?.();
  }
}
