// An agent's answer as elements: paragraphs, lists, tables, code and bold. No links, no HTML, no pictures: whatever
// else a text holds is shown as it was written, so nothing in it can run or fetch.
import { el } from "./dom.js";

const BULLET = /^\s{0,3}[-*•]\s+(.*)$/;
const NUMBERED = /^\s{0,3}(\d{1,9})[.)]\s+(.*)$/;
const HEADING = /^#{1,6}\s+(.*)$/;
const ROW = /^\s*\|(.*)\|\s*$/;
const RULE_ROW = /^[\s|:-]+$/;
const FENCE = /^\s*```/;

/** A fragment that shows `text`. */
export function renderText(text) {
  const fragment = document.createDocumentFragment();
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  let at = 0;
  while (at < lines.length) {
    const block = blockAt(lines, at);
    if (block.element) fragment.append(block.element);
    at = block.next;
  }
  return fragment;
}

function blockAt(lines, at) {
  const line = lines[at];
  if (!line.trim()) return { element: null, next: at + 1 };
  if (FENCE.test(line)) return codeAt(lines, at);
  if (BULLET.test(line)) return listAt(lines, at, "ul", BULLET, 1);
  if (NUMBERED.test(line)) return listAt(lines, at, "ol", NUMBERED, 2);
  if (ROW.test(line) && RULE_ROW.test(lines[at + 1] ?? "") && lines[at + 1].includes("-")) return tableAt(lines, at);
  const heading = HEADING.exec(line);
  if (heading) return { element: el("h4", { dir: "auto" }, ...inline(heading[1])), next: at + 1 };
  return paragraphAt(lines, at);
}

function takeWhile(lines, at, test) {
  let next = at;
  while (next < lines.length && test(lines[next])) next += 1;
  return next;
}

function paragraphAt(lines, at) {
  const ends = (line) => !line.trim() || FENCE.test(line) || BULLET.test(line) || NUMBERED.test(line) || HEADING.test(line);
  const next = takeWhile(lines, at + 1, (line) => !ends(line));
  return { element: el("p", { dir: "auto" }, ...inline(lines.slice(at, next).join("\n"))), next };
}

function listAt(lines, at, tag, pattern, group) {
  const next = takeWhile(lines, at, (line) => pattern.test(line));
  const items = lines.slice(at, next).map((line) => el("li", { dir: "auto" }, ...inline(pattern.exec(line)[group])));
  const start = tag === "ol" ? Number(pattern.exec(lines[at])[1]) : null;
  return { element: el(tag, { start: start === 1 ? null : start }, ...items), next };
}

function tableAt(lines, at) {
  const next = takeWhile(lines, at, (line) => ROW.test(line));
  const cells = (line) => ROW.exec(line)[1].split("|").map((cell) => cell.trim());
  const row = (line, tag) => el("tr", {}, ...cells(line).map((cell) => el(tag, { dir: "auto" }, ...inline(cell))));
  const body = lines.slice(at + 2, next).map((line) => row(line, "td"));
  const table = el("table", { class: "cells" }, el("thead", {}, row(lines[at], "th")), el("tbody", {}, ...body));
  return { element: el("div", { class: "wide" }, table), next };
}

function codeAt(lines, at) {
  const end = takeWhile(lines, at + 1, (line) => !FENCE.test(line));
  return { element: el("pre", { dir: "ltr" }, el("code", {}, lines.slice(at + 1, end).join("\n"))), next: end + 1 };
}

/** `**bold**` and `` `code` ``; the rest as it stands. */
function inline(text) {
  return text
    .split(/(\*\*[^*\n]+\*\*|`[^`\n]+`)/)
    .filter(Boolean)
    .map((part) => {
      if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) return el("strong", {}, part.slice(2, -2));
      if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) return el("code", {}, part.slice(1, -1));
      return part;
    });
}
