// Keeps the newest message in view for those who look at it, and leaves the others where they read.
import { show } from "./dom.js";

const NEAR_PX = 64;

export class Scroller {
  constructor(area, jump) {
    Object.assign(this, { area, jump, isSticky: true });
    area.addEventListener("scroll", () => {
      this.isSticky = this.isAtEnd();
      this.settle();
    });
    jump.addEventListener("click", () => this.stick());
    // A phone's keyboard and a growing field make the area smaller.
    new ResizeObserver(() => this.settle()).observe(area);
  }

  isAtEnd() {
    return this.area.scrollHeight - this.area.scrollTop - this.area.clientHeight < NEAR_PX;
  }

  /** From here on, stay at the end. */
  stick() {
    this.isSticky = true;
    this.settle();
  }

  /** For what is read from its beginning. */
  toTop() {
    this.isSticky = false;
    this.area.scrollTop = 0;
    this.settle();
  }

  settle() {
    if (this.isSticky) this.area.scrollTop = this.area.scrollHeight;
    show(this.jump, !this.isSticky && !this.isAtEnd() && this.topmost() !== undefined);
  }

  /** Draw, and stay at the end, or at the message that is being read. */
  keep(draw) {
    const read = this.isSticky ? null : this.topmost();
    const before = read?.getBoundingClientRect().top;
    draw();
    const again = read && this.area.querySelector(`[data-key="${CSS.escape(read.dataset.key)}"]`);
    if (again) this.area.scrollTop += again.getBoundingClientRect().top - before;
    this.settle();
  }

  topmost() {
    const top = this.area.getBoundingClientRect().top;
    return [...this.area.querySelectorAll("li.message[data-key]")].find((item) => item.getBoundingClientRect().bottom > top);
  }
}
