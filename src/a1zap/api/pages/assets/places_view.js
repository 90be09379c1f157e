// Where one can go: the list at the side, and the page on which one chooses an agent.
import { el, icon } from "./dom.js";
import { messages } from "./messages.js";
import { timeElement } from "./times.js";

/** Agents, and the visitor's chats with the chosen one. */
export function renderSide(nav, { agents, agent, chats, chatId }) {
  const agentItems = agents.map((one) =>
    el("li", {}, el("a", { href: `#${one.slug}`, "aria-current": agent?.id === one.id ? "true" : null, dir: "auto" }, one.name)),
  );
  const parts = [el("h2", { id: "agents-title" }, messages.agents), el("ul", { "aria-labelledby": "agents-title" }, ...agentItems)];
  if (agent) {
    parts.push(el("h2", { id: "chats-title" }, messages.your_chats(agent.name)));
    parts.push(
      chats.length
        ? el("ul", { class: "chats", "aria-labelledby": "chats-title" }, ...chats.map((chat) => chatItem(agent, chat, chatId)))
        : el("p", { class: "none" }, messages.no_chats),
    );
  }
  nav.replaceChildren(...parts);
}

function chatItem(agent, chat, chatId) {
  const isCurrent = chat.id === chatId;
  return el(
    "li",
    {},
    el(
      "a",
      { href: `#${agent.slug}/${chat.id}`, "aria-current": isCurrent ? "page" : null },
      el("span", { class: "name", dir: "auto" }, chat.title),
      timeElement(chat.at),
    ),
  );
}

/** The cards to choose from; `onAsk(agent, question)` when a suggested question is taken. */
export function renderChoose(section, agents, onAsk) {
  if (!agents.length) {
    section.replaceChildren(el("h2", {}, messages.no_agents_title), el("p", {}, messages.no_agents_text));
    return;
  }
  section.replaceChildren(
    el("h2", {}, messages.choose_title),
    el("p", {}, messages.choose_text),
    el("div", { class: "cards" }, ...agents.map((agent) => cardElement(agent, onAsk))),
  );
}

function cardElement(agent, onAsk) {
  const questions = messages.suggestions[agent.handle] ?? [];
  return el(
    "article",
    { class: "card" },
    el("h3", { dir: "auto" }, el("a", { href: `#${agent.slug}` }, agent.name)),
    el("p", { class: "handle" }, `@${agent.handle}`),
    el("p", { class: "about", dir: "auto" }, agent.description),
    questionsElement(agent, onAsk),
    questions.length === 0 && el("a", { class: "open", href: `#${agent.slug}` }, messages.talk_to(agent.name)),
  );
}

/** What one could ask an agent, one line each; null where nothing is suggested. */
export function questionsElement(agent, onAsk) {
  const questions = messages.suggestions[agent.handle] ?? [];
  if (!questions.length) return null;
  const lines = questions.map((question) =>
    el(
      "li",
      {},
      el(
        "button",
        { type: "button", "aria-label": messages.ask_agent(agent.name, question), onclick: () => onAsk(agent, question) },
        question,
        icon("arrow"),
      ),
    ),
  );
  return el("ul", { class: "asks" }, ...lines);
}

/** A new chat's empty state. */
export function renderTeach(section, agent, onAsk) {
  const questions = questionsElement(agent, onAsk);
  section.replaceChildren(
    el("h2", { dir: "auto" }, messages.teach_title(agent.name)),
    el("p", { dir: "auto" }, agent.description),
    el("p", {}, questions ? messages.teach_text : messages.teach_text_alone),
    ...(questions ? [questions] : []),
  );
}
