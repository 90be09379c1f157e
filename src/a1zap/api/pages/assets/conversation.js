// One open chat as this page knows it: its messages, what the agent is saying at this moment, and how the line stands.
import { ask, askJson, nextPage, Refused } from "./ask.js";
import { chatPath, messagesPath } from "./paths.js";
import { Reveal } from "./reveal.js";
import { tryNow, waitAwhile } from "./wait.js";
import { watchChat } from "./watch_chat.js";

/** A message of the server in the words of this page. */
function readMessage(raw) {
  const rich = raw.rich_content ?? {};
  return {
    id: raw.id,
    seq: raw.seq,
    isOwn: raw.direction === "inbound",
    by: raw.sender_kind,
    text: raw.content,
    at: raw.created_at,
    turnId: raw.turn_id,
    heldReason: raw.held_reason,
    sources: rich.sources ?? [],
    offersPerson: rich.offers_person === true,
  };
}

export class Conversation {
  /**
   * onChange()         after every change
   * onAnswer(message)  somebody has answered while we watched
   * visit(agentId)     be known to the server as a visitor of this agent
   */
  constructor(agent, { onChange, onAnswer, visit }) {
    Object.assign(this, { agent, onChange, onAnswer, visit });
    this.chatId = null;
    this.status = null;
    this.isTyping = false;
    this.earlier = null; // the address of what was said before what we have
    this.lost = null; // why the line does not stand
    this.writing = null; // {turnId, reveal}: the answer that is being written
    this.isRead = false;
    this.known = new Map();
    this.unwatch = () => {};
  }

  get list() {
    return [...this.known.values()].sort((a, b) => a.seq - b.seq);
  }

  /** Show a chat: watch it first and read it then, so that nothing falls in between. `after`: an event seen already. */
  open(chatId, after = null) {
    this.close();
    this.chatId = chatId;
    this.unwatch = watchChat(chatId, {
      after,
      before: () => this.visit(this.agent.id),
      onOpen: () => this.catchUp(),
      onEvent: (event) => this.take(event),
      onLost: (error) => this.changed({ lost: error }),
    });
    this.onChange();
  }

  close() {
    this.unwatch();
    this.unwatch = () => {};
    this.writing?.reveal.stop();
  }

  changed(changes) {
    Object.assign(this, changes);
    this.onChange();
  }

  /** Read what is there. The line may have been broken for longer than the server keeps events. */
  async catchUp() {
    const line = this.unwatch;
    for (let failures = 1; line === this.unwatch; failures += 1) {
      try {
        await this.readNewest();
        return tryNow(); // the server is there: what waits to be sent need not wait longer
      } catch (error) {
        this.changed({ lost: error });
        if (error instanceof Refused && error.status !== 429) return;
        await waitAwhile(failures, null, (error.retryAfterS ?? 0) * 1000);
      }
    }
  }

  async readNewest() {
    const response = await ask("GET", messagesPath(this.chatId));
    for (const raw of await response.json()) this.add(raw);
    const chat = await askJson("GET", chatPath(this.chatId));
    const earlier = this.isRead ? this.earlier : nextPage(response);
    this.changed({ lost: null, status: chat.status, earlier, isRead: true });
  }

  async showEarlier() {
    const response = await ask("GET", this.earlier);
    for (const raw of await response.json()) this.add(raw);
    this.changed({ earlier: nextPage(response) });
  }

  take({ event, data }) {
    if (event === "message.accepted") this.add(data);
    else if (event === "typing") this.changed({ isTyping: true });
    else if (event === "token") this.write(data);
    else if (event === "message.created") this.answered(data);
    else if (event === "chat.changed") this.changed({ status: data.status });
    else if (event === "turn.completed") {
      this.isTyping = false;
      if (this.writing && !this.writing.reveal.whenDone) this.stopWriting();
      this.onChange();
    }
  }

  /** Add a message of the server's; one that we have is replaced. */
  add(raw) {
    const message = readMessage(raw);
    this.known.set(message.id, message);
    if (this.writing && this.writing.turnId === message.turnId) this.stopWriting();
    this.onChange();
    return message;
  }

  write({ turn_id: turnId, offset, text }) {
    if (this.writing?.turnId !== turnId) {
      this.stopWriting();
      this.writing = { turnId, reveal: new Reveal(this.onChange) };
    }
    this.isTyping = true;
    this.writing.reveal.put(text, offset);
  }

  stopWriting() {
    this.writing?.reveal.stop();
    this.writing = null;
  }

  answered(raw) {
    if (!this.known.has(raw.id) && raw.direction === "outbound") this.onAnswer(readMessage(raw));
    const isBeingShown = this.writing && this.writing.turnId === raw.turn_id && !this.writing.reveal.whenDone;
    if (isBeingShown) this.writing.reveal.finish(() => this.add(raw));
    else this.add(raw);
  }
}
