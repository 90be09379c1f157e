// What is wrong at the moment, in one line above the field: the most telling of all that is.
import { Refused } from "./ask.js";
import { el } from "./dom.js";
import { messages } from "./messages.js";

const ORDER = ["agents", "outbox", "stream", "place"];
const GRACE_MS = 1_500; // a line that breaks and comes back at once is nobody's business

export class Notices {
  constructor(element, onTry) {
    Object.assign(this, { element, onTry, current: new Map(), timer: null });
  }

  /** Say `what` (an error, a text, or null for "all is well") about one source. */
  set(source, what, text = null) {
    if (!what && !this.current.has(source)) return;
    if (what && this.current.get(source)?.what === what) return;
    if (what) this.current.set(source, { what, ...this.read(source, what, text) });
    else this.current.delete(source);
    this.draw();
  }

  read(source, what, text) {
    const known = this.current.get(source);
    const since = known?.since ?? Date.now();
    if (typeof what === "string") return { text: () => what, since: 0 };
    if (what instanceof Refused && what.status === 429) {
      const until = Date.now() + (what.retryAfterS ?? 1) * 1000;
      return { text: () => messages.slow_down(Math.max(0, Math.ceil((until - Date.now()) / 1000))), since: 0, ticks: true };
    }
    if (what instanceof Refused) return { text: () => what.message, since: 0 };
    // A server on this very machine answers without any network: only what fails is told.
    return { text: () => text ?? (navigator.onLine ? messages.away : messages.offline), since, canTry: true };
  }

  draw() {
    clearTimeout(this.timer);
    const source = ORDER.find((name) => this.current.has(name));
    const notice = source && this.current.get(source);
    const isDue = notice && Date.now() - notice.since >= GRACE_MS;
    this.element.hidden = !isDue;
    if (isDue) {
      const text = notice.text();
      if (this.element.firstChild?.textContent !== text) {
        const button = el("button", { class: "plain", type: "button", onclick: this.onTry }, messages.try_now);
        this.element.replaceChildren(el("span", {}, text), ...(notice.canTry ? [button] : []));
      }
      this.element.classList.toggle("alarm", true);
    }
    if (notice?.ticks || (notice && !isDue)) this.timer = setTimeout(() => this.draw(), 500);
  }
}
