// Building elements. Text only ever goes in as text: nothing in these pages parses HTML.

/** An element; attributes by name, `on…` functions as listeners, null and false left out, children as text or nodes. */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const ICONS = {
  arrow: "M5 12h14M13 6l6 6-6 6",
  check: "M5 13l4 4L19 7",
  checks: "M2 13l4 4L15.5 7M11 16l1 1L22 7",
  cross: "M7 7l10 10M17 7 7 17",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  article: "M7 3h7l4 4v14H7zM14 3v4h4M10 12h5M10 16h5",
};

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export const byId = (id) => document.getElementById(id);

/** Fill the static parts of a page: `data-text` is an element's text, `data-label` its name for screen readers. */
export function fillTexts(texts, root = document) {
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
  for (const element of root.querySelectorAll("[data-label]"))
    element.setAttribute("aria-label", texts[element.dataset.label]);
}

/** Show or hide, and say what an element says. */
export function show(element, isShown) {
  element.hidden = !isShown;
}

/** Bring a list's children in line with `items` ({key, stamp, make, mend?}), touching only what has changed. */
export function syncList(list, items) {
  const known = new Map([...list.children].map((child) => [child.dataset.key, child]));
  let place = list.firstElementChild;
  for (const item of items) {
    let child = known.get(item.key);
    known.delete(item.key);
    if (child && child.dataset.stamp !== item.stamp && item.mend) {
      item.mend(child);
      child.dataset.stamp = item.stamp;
    } else if (!child || child.dataset.stamp !== item.stamp) {
      const fresh = item.make();
      fresh.dataset.key = item.key;
      fresh.dataset.stamp = item.stamp;
      if (child) {
        if (place === child) place = fresh;
        child.replaceWith(fresh);
      }
      child = fresh;
    }
    if (place === child) place = child.nextElementSibling;
    else list.insertBefore(child, place);
  }
  for (const child of known.values()) child.remove();
}
