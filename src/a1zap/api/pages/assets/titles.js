// What a chat is called in the list: its first words, which only this browser keeps.
import { messages } from "./messages.js";

const PLACE = "a1zap.titles";
const LETTERS_MAX = 80;
const CHATS_MAX = 100;

function read() {
  try {
    return JSON.parse(localStorage.getItem(PLACE) ?? "{}");
  } catch {
    return {};
  }
}

export const titles = {
  of(chat) {
    const began = new Date(chat.created_at);
    const when = began.toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    return read()[chat.id] ?? messages.untitled(when);
  },

  /** Name a chat by its first message, unless it has a name. */
  keep(chatId, text) {
    const known = read();
    if (known[chatId]) return;
    const title = [...text.replace(/\s+/g, " ").trim()].slice(0, LETTERS_MAX).join("");
    const kept = [...Object.entries(known).slice(1 - CHATS_MAX), [chatId, title]];
    try {
      localStorage.setItem(PLACE, JSON.stringify(Object.fromEntries(kept)));
    } catch {
      // Not kept, where storage is full or forbidden: the chat is called by its date.
    }
  },
};
