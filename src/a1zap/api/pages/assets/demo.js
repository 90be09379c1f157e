// The demo chat page: which agent, which chat, and what the person does. The parts it is made of know nothing of it.
import { askJson, Away, Refused } from "./ask.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { byId, fillTexts, show } from "./dom.js";
import { heldText, renderLog } from "./log_view.js";
import { messages } from "./messages.js";
import { chatsPath, PUBLIC_AGENTS, visitorPath } from "./paths.js";
import { seenSeq, Signs } from "./signs.js";
import { Notices } from "./notices.js";
import { Outbox } from "./outbox.js";
import { renderChoose, renderSide, renderTeach } from "./places_view.js";
import { wireDrawer } from "./drawer.js";
import { Scroller } from "./scroller.js";
import { wireThemeButton } from "./theme_button.js";
import { refreshTimes } from "./times.js";
import { takeFiles, Tray } from "./tray.js";
import { titles } from "./titles.js";
import { tryNow, waitAwhile } from "./wait.js";

const CHAT_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const REST_AFTER_MS = 60_000;

let agents = null; // null until the server has told us
let agent = null;
let chats = [];
let conversation = null;
let wasTyping = false;

const notices = new Notices(byId("notice"), tryNow);
const scroller = new Scroller(byId("scroll"), byId("jump"));
const signs = new Signs();
const tray = new Tray(byId("tray"), { onChange: () => composer.changed(), visit });
const composer = new Composer(byId("composer-form"), byId("hint"), tray, {
  onSay: say,
  onType: (text) => signs.typed(conversation?.chatId, text),
});
const drawer = wireDrawer(byId("side"), byId("main"), byId("open-side"), byId("close-side"));
const outbox = new Outbox({
  onChange: draw,
  onAccepted: accepted,
  onFailed: (_, reason) => announce(messages.failed(reason)),
  onState: (error) => notices.set("outbox", error),
  visit,
  visitAgain,
});

// ── the way through the page: # · #agent · #agent/new · #agent/chat ────────────────────────────────────────────

async function go() {
  const [name, rest] = location.hash.slice(1).split("/");
  drawer.close();
  notices.set("place", null);
  agent = agents.find((one) => one.slug === name || one.handle === name) ?? null;
  if (name && !agent) notices.set("place", messages.no_such_agent(name));
  if (!agent) return leave();
  if (conversation?.agent.id !== agent.id) chats = [];
  if (rest && CHAT_ID.test(rest)) return enter(rest);
  const chosen = agent;
  enter(null);
  await loadChats(chosen);
  // Who comes back finds the newest chat; who wants another begins one.
  if (rest !== "new" && agent === chosen && chats.length && !conversation.chatId && !outbox.of(agent.id, null).length) {
    history.replaceState(null, "", `#${agent.slug}/${chats[0].id}`);
    enter(chats[0].id);
  }
}

function leave() {
  conversation?.close();
  conversation = null;
  chats = [];
  renderChoose(byId("choose"), agents, begin);
  draw();
  scroller.toTop();
}

function enter(chatId) {
  if (chatId && conversation?.chatId === chatId) return draw();
  conversation?.close();
  conversation = new Conversation(agent, { onChange: draw, onAnswer: answered, visit });
  renderTeach(byId("teach"), agent, (_, question) => say(question));
  scroller.stick();
  if (chatId) conversation.open(chatId);
  draw();
  tray.open(agent.id);
  composer.open(agent, chatId);
  offer(agent.id);
  if (chatId) loadChats(agent);
}

function begin(chosen, question) {
  history.pushState(null, "", `#${chosen.slug}/new`);
  agent = chosen;
  chats = [];
  enter(null);
  say(question);
  loadChats(chosen);
}

// ── what the person does, and what comes back ────────────────────────────────────────────────────────────────────

function say(text, files = []) {
  scroller.stick();
  signs.sent();
  outbox.add(agent.id, conversation.chatId, text, files);
  composer.focus();
}

function accepted(entry, { id, data }) {
  titles.keep(data.chat_id, entry.text || (entry.files?.[0]?.name ?? ""));
  if (conversation?.agent.id === entry.agentId && conversation.chatId === entry.chatId) {
    conversation.add(data);
    if (!conversation.chatId) {
      history.replaceState(null, "", `#${agent.slug}/${data.chat_id}`);
      composer.rename(data.chat_id);
      conversation.open(data.chat_id, id);
    }
  }
  if (data.held_reason) announce(heldText(data.held_reason, agent));
  draw();
  if (agent?.id === entry.agentId) loadChats(agent);
}

function answered(message) {
  announce(messages.says(agent.name, message.text));
  loadChats(agent);
}

/** Say it to those who do not see the page. */
function announce(text) {
  byId("announce").textContent = text;
}

// ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────────

const visits = new Map();

/** Be a visitor of the agent: the server knows its visitors by a cookie. */
function visit(agentId) {
  if (!visits.has(agentId)) {
    const visiting = askJson("POST", visitorPath(agentId));
    visiting.catch(() => visits.delete(agentId));
    visits.set(agentId, visiting);
  }
  return visits.get(agentId);
}

/** What this chat page offers beside writing: files, where its owner wants them. */
async function offer(agentId) {
  const page = await visit(agentId).catch(() => null); // what is wrong is told by the chat's own line
  if (agent?.id !== agentId || !page) return;
  tray.bytesMax = page.file_bytes_max;
  show(byId("attach"), page.accepts_files);
  byId("greeting").textContent = page.greeting;
  draw();
}

function visitAgain(agentId) {
  visits.delete(agentId);
  return visit(agentId);
}

async function loadChats(of) {
  try {
    await visit(of.id);
    const found = await askJson("GET", chatsPath(of.id));
    if (agent?.id !== of.id) return;
    chats = found.map((chat) => ({ id: chat.id, title: titles.of(chat), at: chat.last_message_at }));
    draw();
  } catch (error) {
    // The list is a convenience; what is wrong is told by the chat's own line.
    if (!(error instanceof Refused) && !(error instanceof Away)) throw error;
  }
}

async function loadAgents() {
  for (let failures = 1; agents === null; failures += 1) {
    try {
      agents = named(await askJson("GET", PUBLIC_AGENTS));
      notices.set("agents", null);
    } catch (error) {
      notices.set("agents", error, messages.away_agents);
      await waitAwhile(failures, null, (error.retryAfterS ?? 0) * 1000);
    }
  }
}

/** Agents by the names they have in addresses: the handle, or the id where two owners chose the same handle. */
function named(found) {
  const count = (handle) => found.filter((one) => one.handle === handle).length;
  return found.map((one) => ({ ...one, slug: count(one.handle) > 1 ? one.id : one.handle }));
}

// ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────

function draw() {
  if (agents === null) return;
  const waiting = conversation ? outbox.of(agent.id, conversation.chatId) : [];
  drawTop(waiting);
  renderSide(byId("nav"), { agents, agent, chats, chatId: conversation?.chatId });
  show(byId("choose"), !conversation);
  show(byId("talk"), Boolean(conversation));
  show(byId("composer-form"), Boolean(conversation));
  show(byId("hint"), Boolean(conversation));
  if (!conversation) return;
  notices.set("stream", conversation.lost instanceof Refused ? messages.no_such_chat : conversation.lost);
  scroller.keep(() => {
    const isNew = !conversation.chatId && !waiting.length;
    show(byId("teach"), isNew);
    show(byId("greeting"), isNew && byId("greeting").textContent !== "");
    show(byId("earlier"), Boolean(conversation.earlier));
    if (conversation.isTyping && !wasTyping) announce(messages.is_typing(agent.name));
    wasTyping = conversation.isTyping;
    renderLog(byId("log"), conversation, waiting, {
      retry: (key) => outbox.retry(key),
      remove: (key) => outbox.remove(key),
      openFile: (messageId, file) => conversation.freshLink(messageId, file),
      say,
    });
  });
  sawMessages();
}

function sawMessages() {
  if (conversation) signs.seen(conversation.chatId, () => seenSeq(byId("log"), byId("scroll"), conversation.known));
}

function drawTop(waiting) {
  byId("title").textContent = agent ? agent.name : messages.choose_subtitle;
  byId("subtitle").textContent = agent ? agent.description : "";
  document.title = agent ? `${agent.name} · ${messages.demo_title}` : messages.demo_title;
  show(byId("new-chat"), Boolean(conversation && (conversation.chatId || waiting.length)));
  if (agent) byId("new-chat").href = `#${agent.slug}/new`;
}

/** A public agent has a page of its own, /demo/<id>: the same page, with the agent chosen. */
function standOnHash() {
  const [, id] = /^\/demo\/([^/]+)$/.exec(location.pathname) ?? [];
  if (!id) return;
  const slug = agents.find((one) => one.id === id)?.slug ?? id;
  history.replaceState(null, "", `/demo${location.hash || `#${slug}`}`);
}

/** A browser has six lines to one server: a page that nobody looks at gives its own back. */
function restWhileHidden() {
  let timer;
  let isResting = false;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(() => {
        isResting = true;
        conversation?.close();
      }, REST_AFTER_MS);
    } else if (isResting) {
      isResting = false;
      if (conversation?.chatId) conversation.open(conversation.chatId);
    }
  });
}

async function start() {
  fillTexts(messages);
  wireThemeButton(byId("theme"));
  byId("earlier").addEventListener("click", () => conversation.showEarlier().catch((error) => notices.set("stream", error)));
  addEventListener("hashchange", go);
  restWhileHidden();
  takeFiles(tray, composer, () => conversation !== null && !byId("attach").hidden);
  for (const [target, event] of [[byId("scroll"), "scroll"], [document, "visibilitychange"]])
    target.addEventListener(event, sawMessages);
  setInterval(refreshTimes, 30_000);
  await loadAgents();
  standOnHash();
  await go();
  outbox.flush();
}

start();
