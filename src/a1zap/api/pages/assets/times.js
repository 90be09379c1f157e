// Relative times, with the exact one a hover away.
import { el } from "./dom.js";
import { messages } from "./messages.js";

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "narrow" });
const STEPS = [
  [3600, 60, "minute"],
  [86400, 3600, "hour"],
  [7 * 86400, 86400, "day"],
];

export function agoText(date, now = new Date()) {
  const seconds = Math.max(0, (now - date) / 1000);
  if (seconds < 45) return messages.now;
  for (const [below, unit, name] of STEPS) {
    if (seconds < below) return relative.format(-Math.max(1, Math.round(seconds / unit)), name);
  }
  const sameYear = date.getFullYear() === now.getFullYear();
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: sameYear ? undefined : "numeric" });
}

export function exactText(date) {
  return date.toLocaleString("en-GB", { dateStyle: "full", timeStyle: "medium" });
}

export function dayText(date, now = new Date()) {
  const days = Math.round((startOfDay(now) - startOfDay(date)) / 86_400_000);
  if (days === 0) return messages.today;
  if (days === 1) return messages.yesterday;
  return date.toLocaleDateString("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}

function startOfDay(date) {
  return new Date(date.getFullYear(), date.getMonth(), date.getDate());
}

/** A `<time>` that `refreshTimes` keeps up to date. */
export function timeElement(iso) {
  const date = new Date(iso);
  return el("time", { datetime: iso, title: exactText(date) }, agoText(date));
}

export function refreshTimes(root = document) {
  for (const element of root.querySelectorAll("time[datetime]")) {
    const text = agoText(new Date(element.dateTime));
    if (element.textContent !== text) element.textContent = text;
  }
}
