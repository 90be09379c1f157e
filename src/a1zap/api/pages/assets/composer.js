// The field one writes in: it grows, Enter sends, and it remembers what was begun.
import { byId } from "./dom.js";
import { messages } from "./messages.js";

const BYTES_MAX = 16_000;
const WARN_BELOW = 1_000;
const PLACE = "a1zap.begun.";

export class Composer {
  /** onSay(text, files); onType(text) after every change by the person; `tray` holds the files that go along */
  constructor(form, hint, tray, { onSay, onType }) {
    Object.assign(this, { form, hint, tray, onSay, onType, place: null });
    this.field = byId("composer");
    this.button = byId("send");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    this.field.addEventListener("keydown", (event) => {
      // While a text is being composed (Japanese, Chinese …) Enter belongs to that.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.send();
    });
    this.field.addEventListener("input", () => {
      this.changed();
      this.onType(this.field.value);
    });
  }

  /** Be the field of this chat (null: a new one), with what was begun in it. */
  open(agent, chatId) {
    this.place = `${PLACE}${chatId ?? agent.id}`;
    this.field.placeholder = messages.write_to(agent.name);
    byId("composer-label").textContent = messages.write_to(agent.name);
    this.field.value = recall(this.place);
    this.changed();
    if (matchMedia("(hover: hover)").matches) this.focus();
  }

  /** The new chat has got a name: what is begun goes along. */
  rename(chatId) {
    remember(this.place, "");
    this.place = PLACE + chatId;
    this.changed();
  }

  focus() {
    this.field.focus({ preventScroll: true });
  }

  send() {
    const text = this.field.value.trim();
    if (!this.canSend()) return;
    this.field.value = "";
    const files = this.tray.take();
    this.changed();
    this.onSay(text, files);
  }

  canSend() {
    return (this.field.value.trim() !== "" || !this.tray.isEmpty) && this.tray.isReady && this.left() >= 0;
  }

  left() {
    return BYTES_MAX - new TextEncoder().encode(this.field.value.trim()).length;
  }

  changed() {
    const left = this.left();
    this.button.disabled = !this.canSend();
    this.hint.textContent = left < 0 ? messages.too_long(-left) : left < WARN_BELOW ? messages.nearly_long(left) : messages.hint;
    this.hint.classList.toggle("alarm", left < 0);
    this.hint.classList.toggle("keys", left >= WARN_BELOW);
    this.field.style.height = "auto";
    this.field.style.height = `${Math.min(this.field.scrollHeight, 192)}px`;
    if (this.place) remember(this.place, this.field.value);
  }
}

function recall(place) {
  try {
    return sessionStorage.getItem(place) ?? "";
  } catch {
    return "";
  }
}

function remember(place, text) {
  try {
    if (text) sessionStorage.setItem(place, text);
    else sessionStorage.removeItem(place);
  } catch {
    // Not remembered, where storage is forbidden.
  }
}
