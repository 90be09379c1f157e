// Messages that are written and not yet accepted. They outlive a reload, and each goes out once: a resend carries the
// same Idempotency-Key, so the server knows a message that it had accepted when the line broke.
import { ask, Away, Refused } from "./ask.js";
import { readEvents } from "./event_stream.js";
import { sayPath } from "./paths.js";
import { waitAwhile } from "./wait.js";

const PLACE = "a1zap.outbox."; // one place an entry, so that two tabs do not overwrite each other
const WAITING = new Set(["waiting", "sending"]);

export class Outbox {
  /**
   * onChange()                 an entry came, went or changed
   * onAccepted(entry, event)   the server has it; `event` is message.accepted
   * onFailed(entry, reason)    the server will not have it; the entry stays until it is tried again or removed
   * onState(error)             null: the server is there; Away or a Refused with 429: we wait, and try again
   * visit(agentId)             be known to the server as a visitor of this agent; visitAgain: as a new one, if need be
   */
  constructor({ onChange, onAccepted, onFailed, onState, visit, visitAgain }) {
    Object.assign(this, { onChange, onAccepted, onFailed, onState, visit, visitAgain });
    this.entries = read();
    this.isRunning = false;
  }

  of(agentId, chatId) {
    return this.entries.filter((entry) => entry.agentId === agentId && entry.chatId === chatId);
  }

  add(agentId, chatId, text, files = []) {
    const entry = { key: newKey(), agentId, chatId, text, files, at: new Date().toISOString(), state: "waiting" };
    this.entries.push(entry);
    keep(entry);
    this.onChange();
    this.flush();
  }

  retry(key) {
    this.change(key, { state: "waiting", reason: null });
    this.flush();
  }

  remove(key) {
    this.entries = this.entries.filter((entry) => entry.key !== key);
    forget(key);
    this.onChange();
  }

  change(key, changes) {
    this.entries = this.entries.map((entry) => (entry.key === key ? { ...entry, ...changes } : entry));
    this.entries.filter((entry) => entry.key === key).forEach(keep);
    this.onChange();
  }

  /** Send what waits, in the order it was written, until nothing does. */
  async flush() {
    if (this.isRunning) return;
    this.isRunning = true;
    try {
      for (let failures = 0; ; ) {
        const entry = this.entries.find((candidate) => WAITING.has(candidate.state));
        if (!entry) break;
        failures = (await this.trySending(entry, failures)) ? 0 : failures + 1;
      }
    } finally {
      this.isRunning = false;
    }
  }

  async trySending(entry, failures) {
    this.change(entry.key, { state: "sending" });
    try {
      const event = await this.send(entry);
      this.accept(entry, event);
      this.onState(null);
      return true;
    } catch (error) {
      const isHopeless = error instanceof Refused && error.status !== 429;
      this.change(entry.key, isHopeless ? { state: "failed", reason: error.message } : { state: "waiting" });
      if (isHopeless) {
        this.onFailed(entry, error.message);
        return true;
      }
      this.onState(error);
      await waitAwhile(failures + 1, null, (error.retryAfterS ?? 0) * 1000);
      return false;
    }
  }

  async send(entry) {
    await this.visit(entry.agentId);
    try {
      return await post(entry);
    } catch (error) {
      if (!(error instanceof Refused) || ![401, 403].includes(error.status)) throw error;
      await this.visitAgain(entry.agentId);
      return post(entry);
    }
  }

  accept(entry, event) {
    const { chat_id: chatId } = event.data;
    this.entries = this.entries.filter((other) => other.key !== entry.key);
    forget(entry.key);
    for (const other of this.of(entry.agentId, entry.chatId)) {
      other.chatId = chatId; // what was written before the chat had a name belongs to it now
      keep(other);
    }
    this.onAccepted(entry, event);
  }
}

/** Hand the message over; the answer comes by the chat's own stream, so we hang up once it is accepted. */
async function post(entry) {
  const stop = new AbortController();
  const files = entry.files ?? []; // one that was kept before there were files has none
  const body = { message: entry.text, ...(entry.chatId && { chat_id: entry.chatId }), ...(files.length && { attachments: files.map((file) => file.id) }) };
  const headers = { Accept: "text/event-stream", "Idempotency-Key": entry.key };
  try {
    const response = await ask("POST", sayPath(entry.agentId), { body, headers, signal: stop.signal });
    for await (const event of readEvents(response)) {
      if (event.event === "message.accepted") return event;
      if (event.event === "error") throw new Refused(event.data.status ?? 422, event.data.detail ?? event.data.title);
    }
  } catch (error) {
    if (error instanceof Refused || error instanceof Away) throw error;
    throw new Away(String(error));
  } finally {
    stop.abort();
  }
  throw new Away("the line broke before the message was accepted");
}

function newKey() {
  // crypto.randomUUID is missing on plain http in a local network.
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function read() {
  try {
    return Object.keys(localStorage)
      .filter((name) => name.startsWith(PLACE))
      .map((name) => JSON.parse(localStorage.getItem(name)))
      .sort((a, b) => (a.at < b.at ? -1 : 1));
  } catch {
    return [];
  }
}

function keep(entry) {
  try {
    localStorage.setItem(PLACE + entry.key, JSON.stringify(entry));
  } catch {
    // Full or forbidden: the entry lives as long as the page does.
  }
}

function forget(key) {
  try {
    localStorage.removeItem(PLACE + key);
  } catch {
    // Was never kept.
  }
}
