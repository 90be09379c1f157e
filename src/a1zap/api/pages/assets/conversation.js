// One open chat as this page knows it: its messages, what the agent is saying at this moment, and how the line stands.
import { ask, askJson, nextPage, Refused } from "./ask.js";
import { chatPath, messagesPath } from "./paths.js";
import { Reveal } from "./reveal.js";
import { TYPING_SHOWN_MS } from "./signs.js";
import { tryNow, waitAwhile } from "./wait.js";
import { watchChat } from "./watch_chat.js";

const LINKS_GOOD_MS = 10 * 60_000; // the server lets them live for a quarter of an hour

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
    files: raw.attachments ?? [],
  };
}

const isSame = (before, after) =>
  before.length === after.length && before.every((file, i) => file.id === after[i].id && file.state === after[i].state);

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
    this.personTyping = null; // a timer, while a person on the other side types
    this.otherReadSeq = 0; // up to which message the other side has read
    this.filesAt = new Map(); // when the links of a message's files were made
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
    clearTimeout(this.personTyping);
    this.personTyping = null;
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
    const otherReadSeq = Math.max(this.otherReadSeq, chat.other_read_seq ?? 0);
    this.changed({ lost: null, status: chat.status, earlier, isRead: true, otherReadSeq });
  }

  async showEarlier() {
    const response = await ask("GET", this.earlier);
    for (const raw of await response.json()) this.add(raw);
    this.changed({ earlier: nextPage(response) });
  }

  take({ event, data }) {
    if (event === "message.accepted") this.add(data);
    else if (event === "typing") this.typing(data);
    else if (event === "chat.read") this.changed({ otherReadSeq: Math.max(this.otherReadSeq, data.seq) });
    else if (event === "message.status") this.statusOf(data);
    else if (event === "token") this.write(data);
    else if (event === "message.created") this.answered(data);
    else if (event === "chat.changed") this.changed({ status: data.status });
    else if (event === "turn.completed") {
      this.isTyping = false;
      if (this.writing && !this.writing.reveal.whenDone) this.stopWriting();
      this.onChange();
    }
  }

  typing({ by, is_typing: isTyping }) {
    if (by === "owner") this.personTypes(isTyping);
    else this.changed({ isTyping: true });
  }

  personTypes(isTyping) {
    clearTimeout(this.personTyping);
    this.personTyping = isTyping ? setTimeout(() => this.personTypes(false), TYPING_SHOWN_MS) : null;
    this.onChange();
  }

  /** News of a message: files that came after it. */
  statusOf({ id, attachments }) {
    const message = this.known.get(id);
    if (!message || !attachments) return;
    this.known.set(id, { ...message, files: attachments });
    this.filesAt.set(id, Date.now());
    this.onChange();
  }

  /** Links to files end: an address that is still good as `null`, or the promise of a new one. */
  freshLink(messageId, file) {
    if (Date.now() - (this.filesAt.get(messageId) ?? 0) < LINKS_GOOD_MS) return null;
    this.filesAt.delete(messageId);
    const find = () => this.known.get(messageId)?.files.find((one) => one.id === file.id)?.url;
    return this.readNewest().then(find, () => null);
  }

  /** Add a message of the server's; one that we have is replaced, but for links that are still good. */
  add(raw) {
    const message = readMessage(raw);
    const before = this.known.get(message.id);
    const isGood = Date.now() - (this.filesAt.get(message.id) ?? 0) < LINKS_GOOD_MS;
    if (before && isGood && isSame(before.files, message.files)) message.files = before.files;
    else if (message.files.length) this.filesAt.set(message.id, Date.now());
    this.known.set(message.id, message);
    if (!message.isOwn) this.personTypes(false);
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
