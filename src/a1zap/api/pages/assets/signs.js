// Signs of life: that the person types, and how far they have read. Neither is worth a word when it does not get through.
import { ask } from "./ask.js";
import { readPath, typingPath } from "./paths.js";

const TYPING_EVERY_MS = 3_000;
const READ_AFTER_MS = 400;
export const TYPING_SHOWN_MS = 6_000;

export class Signs {
  constructor() {
    Object.assign(this, { typedAt: 0, read: new Map(), timer: null });
  }

  /** The person has changed what stands in the field. */
  typed(chatId, text) {
    if (!chatId) return;
    const isTyping = text.trim() !== "";
    if (isTyping ? Date.now() - this.typedAt < TYPING_EVERY_MS : this.typedAt === 0) return;
    this.typedAt = isTyping ? Date.now() : 0;
    send(typingPath(chatId), { is_typing: isTyping });
  }

  /** What was written has been sent: whoever sees the message needs no word that typing has ended. */
  sent() {
    this.typedAt = 0;
  }

  /** Say how far the person has read, a moment after they did; `seq()` is asked then. */
  seen(chatId, seq) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const upTo = document.hidden ? 0 : seq();
      if (!chatId || upTo <= (this.read.get(chatId) ?? 0)) return;
      this.read.set(chatId, upTo);
      send(readPath(chatId), { seq: upTo }).then((isThrough) => isThrough || this.read.delete(chatId));
    }, READ_AFTER_MS);
  }
}

async function send(path, body) {
  try {
    await ask("POST", path, { body });
    return true;
  } catch {
    return false;
  }
}

/** The newest message of the other side that is to be seen in `area`; `known`: messages by id. 0 where none is. */
export function seenSeq(list, area, known) {
  const end = area.getBoundingClientRect().bottom;
  const isSeen = (item) => item.getBoundingClientRect().top < end - 24;
  const seen = [...list.querySelectorAll(".message.theirs[data-key]")].filter(isSeen);
  return Math.max(0, ...seen.map((item) => known.get(item.dataset.key)?.seq ?? 0));
}
