// The parts of the owner's page as elements.
import { el } from "./dom.js";
import { messages } from "./messages.js";
import { timeElement } from "./times.js";

const UNLIMITED = -1;
const PAGE_SIZE = 100;

/** The agents as a table; where there are none, what to do about it stands further down. */
export function agentsElement(agents) {
  if (!agents.length) return [el("p", { class: "soft" }, messages.no_agents)];
  const titles = [["", messages.agent], ["type", messages.type], ["", messages.status], ["", messages.chat_page]];
  const head = el("tr", {}, ...titles.map(([name, title]) => el("th", { scope: "col", class: name || null }, title)));
  const table = el("table", { class: "agents" }, el("thead", {}, head), el("tbody", {}, ...agents.map(agentRow)));
  return agents.length < PAGE_SIZE ? [table] : [table, el("p", { class: "soft" }, messages.more_agents)];
}

function agentRow(agent) {
  const open = el("a", { href: `/demo#${agent.handle}`, "aria-label": messages.open_chat_with(agent.name) }, messages.open_chat);
  return el(
    "tr",
    {},
    el("td", {}, el("span", { class: "name", dir: "auto" }, agent.name), " ", el("span", { class: "handle" }, `@${agent.handle}`)),
    el("td", { class: "type" }, messages.types[agent.agent_type]),
    el("td", {}, el("span", { class: `status ${agent.status}` }, messages.statuses[agent.status])),
    el("td", {}, agent.is_public ? open : el("span", { class: "soft" }, messages.not_public)),
  );
}

export function usageElements({ limits, used }) {
  return [
    meterElement(messages.messages_in, used.messages, limits.messages_per_month),
    meterElement(messages.work_agents, used.work_agents, limits.work_agents),
    meterElement(messages.personal_agents, used.personal_agents, limits.personal_agents),
    ...(used.messages_held ? [el("p", { class: "alarm" }, messages.held_back(used.messages_held))] : []),
  ];
}

function meterElement(title, used, limit) {
  const isLimited = limit !== UNLIMITED;
  const beside = el("small", {}, isLimited ? messages.of_limit(limit) : messages.unlimited);
  const meter = isLimited && el("meter", { min: 0, max: limit, high: limit * 0.9, optimum: 0, value: used, "aria-label": title });
  return el("div", {}, el("dt", {}, title), el("dd", {}, used.toLocaleString("en"), beside, meter));
}

/** A line to copy. Without a clipboard (plain http in a local network) it is selected instead. */
export function copyLine(text) {
  const code = el("code", {}, text);
  const button = el("button", { class: "quiet", type: "button", onclick: copy }, messages.copy);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = messages.copied;
      setTimeout(() => (button.textContent = messages.copy), 2000);
    } catch {
      getSelection().selectAllChildren(code);
    }
  }
  return el("div", { class: "line" }, code, button);
}

/** A key in the list. Revoking takes two presses: there is no way back. */
export function keyItem(key, onRevoke) {
  const button = el("button", { class: "plain", type: "button", "aria-label": messages.revoke_named(key.name), onclick: press }, messages.revoke);
  function press() {
    if (button.classList.contains("sure")) return onRevoke();
    button.classList.add("sure");
    button.textContent = messages.revoke_sure;
    button.removeAttribute("aria-label");
    setTimeout(() => {
      button.classList.remove("sure");
      button.textContent = messages.revoke;
    }, 4000);
  }
  const used = key.last_used_at ? [messages.used, timeElement(key.last_used_at)] : [messages.never_used];
  return el(
    "li",
    {},
    el("span", { dir: "auto" }, key.name),
    el("span", { class: "mono" }, `${key.prefix}…`),
    el("span", {}, ...used),
    button,
  );
}
