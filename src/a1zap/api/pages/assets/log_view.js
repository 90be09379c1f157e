// The messages of a chat as a list of elements, changed only where something changed.
import { el, icon, syncList } from "./dom.js";
import { filesElement } from "./file_view.js";
import { messages } from "./messages.js";
import { renderText } from "./render_text.js";
import { dayText, timeElement } from "./times.js";

/**
 * Bring the list in line with the conversation and the messages that still wait.
 * `acts`: {retry(key), remove(key), say(text), openFile(messageId, file)}
 */
export function renderLog(list, conversation, waiting, acts) {
  const known = conversation.list;
  const isWriting = conversation.isTyping || conversation.writing !== null;
  const items = [];
  let day = null;
  for (const [index, message] of known.entries()) {
    const said = dayText(new Date(message.at));
    if (said !== day) items.push(dayItem((day = said)));
    const isLast = index === known.length - 1 && !isWriting && !waiting.length;
    const isRead = conversation.otherReadSeq >= message.seq;
    items.push(messageItem(message, known[index - 1], { isLast, isRead, agent: conversation.agent, acts }));
  }
  if (["escalated", "human"].includes(conversation.status)) items.push(noteItem("person", messages.with_person));
  if (isWriting) items.push(writingItem(conversation));
  else if (conversation.personTyping !== null) items.push(personTypingItem());
  for (const entry of waiting) items.push(waitingItem(entry, acts));
  syncList(list, items);
}

function dayItem(text) {
  return { key: `day ${text}`, stamp: "", make: () => el("li", { class: "day" }, text) };
}

function noteItem(key, text) {
  return { key: `note ${key}`, stamp: text, make: () => el("li", { class: "message note" }, text) };
}

function messageItem(message, before, { isLast, isRead, agent, acts }) {
  const isNewVoice = !before || before.isOwn || before.by !== message.by;
  const stamp = JSON.stringify([message, isLast, isLast && isRead, isNewVoice]);
  const make = () => (message.isOwn ? ownElement(message, { isLast, isRead, agent, acts }) : theirElement(message, isNewVoice, isLast, agent, acts));
  return { key: message.id, stamp, make };
}

function ownElement(message, { isLast, isRead, agent, acts }) {
  const held = message.heldReason && heldText(message.heldReason, agent);
  return el(
    "li",
    { class: "message own" },
    ownLine(message.text, timeElement(message.at), filesOf(message, acts)),
    held ? el("p", { class: "below held" }, held) : isLast && tickElement(isRead),
  );
}

/** Why a message is stored and not answered, for the person who wrote it. */
export function heldText(reason, agent) {
  return (messages.held[reason] ?? messages.held.other)(agent.name);
}

function tickElement(isRead) {
  return el("p", { class: isRead ? "below tick read" : "below tick" }, icon(isRead ? "checks" : "check"), isRead ? messages.read : messages.sent);
}

function filesOf(message, acts) {
  return message.files.length > 0 && filesElement(message.files, (file) => acts.openFile(message.id, file));
}

function ownLine(text, time, files) {
  const said = text !== "" && el("div", { class: "text", dir: "auto" }, text);
  const line = el("div", { class: "line" }, el("span", { class: "unseen" }, `${messages.you}: `), time, said);
  return el("div", { class: "said" }, files, line);
}

function theirElement(message, isNewVoice, isLast, agent, acts) {
  if (message.by === "system") return el("li", { class: "message note", dir: "auto" }, message.text);
  const name = message.by === "owner" ? messages.person : agent.name;
  return el(
    "li",
    { class: "message theirs" },
    el("p", { class: isNewVoice ? "who" : "unseen" }, el("span", { dir: "auto" }, name), timeElement(message.at)),
    message.text !== "" && el("div", { class: "text" }, renderText(withoutSource(message))),
    filesOf(message, acts),
    message.sources.length > 0 && sourcesElement(message.sources),
    isLast && message.offersPerson && offerElement(acts),
  );
}

/** The text without a last paragraph that only names the source ("Source: …"), which is shown under it anyway. */
function withoutSource({ text, sources }) {
  const at = text.lastIndexOf("\n\n");
  const last = text.slice(at).trim();
  const isNamed = at > 0 && sources.some(({ title }) => last.includes(title) && last.length < title.length + 40);
  return isNamed ? text.slice(0, at) : text;
}

function sourcesElement(sources) {
  const titles = [...new Set(sources.map((source) => String(source.title)))];
  const items = titles.map((title) => el("li", { dir: "auto" }, icon("article"), title));
  return el("ul", { class: "sources", "aria-label": messages.sources }, ...items);
}

function offerElement(acts) {
  const button = el("button", { type: "button", onclick: () => acts.say(messages.yes_please) }, messages.yes_pass_on);
  return el("p", { class: "offer" }, button);
}

/** An answer on its way; one element for all of it, so that nothing flickers while it grows. */
function writingItem({ writing, agent }) {
  const shown = writing?.reveal.shown ?? "";
  const text = (element) => element.replaceChildren(renderText(shown));
  const make = () => {
    const dots = el("span", { class: "typing", role: "img", "aria-label": messages.is_typing(agent.name) }, el("i"), el("i"), el("i"));
    const said = el("div", { class: "text" });
    text(said);
    return el("li", { class: "message theirs writing" }, el("p", { class: "who" }, el("span", { dir: "auto" }, agent.name), dots), said);
  };
  return { key: "writing", stamp: shown, make, mend: (item) => text(item.lastElementChild) };
}

/** A person on the other side is typing: who it is they say by what they write. */
function personTypingItem() {
  const make = () => {
    const dots = el("span", { class: "typing", role: "img", "aria-label": messages.person_is_typing }, el("i"), el("i"), el("i"));
    return el("li", { class: "message theirs typing-person" }, el("p", { class: "who" }, el("span", {}, messages.person), dots));
  };
  return { key: "typing", stamp: "", make };
}

function waitingItem(entry, acts) {
  const state = entry.state === "failed" ? messages.failed(entry.reason) : messages[entry.state];
  const make = () =>
    el(
      "li",
      { class: `message own ${entry.state}` },
      ownLine(entry.text, null, (entry.files ?? []).length > 0 && filesElement(entry.files, null)),
      el(
        "p",
        { class: "below" },
        el("span", {}, state),
        entry.state === "failed" && el("button", { class: "plain", type: "button", onclick: () => acts.retry(entry.key) }, messages.retry),
        entry.state !== "sending" && el("button", { class: "plain", type: "button", onclick: () => acts.remove(entry.key) }, messages.remove),
      ),
    );
  return { key: `waiting ${entry.key}`, stamp: `${entry.state} ${entry.reason ?? ""}`, make };
}
