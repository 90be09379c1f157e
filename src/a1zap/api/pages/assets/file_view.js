// Files as elements: pictures are shown, everything else is named with its size.
import { el, icon } from "./dom.js";
import { messages } from "./messages.js";

const UNITS = ["B", "KB", "MB", "GB"];
const PICTURE_PX = 320;
const SMALL_PX = 88; // twice the 44 px it is shown in

/** A size as people read it. */
export function sizeText(bytes) {
  let [size, unit] = [bytes, 0];
  while (size >= 1000 && unit < UNITS.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${UNITS[unit]}`;
}

/** A file that is still here only, in small: drawn on a canvas, because our pages show no picture from elsewhere. */
export function canvasOf(file) {
  const place = el("span", { class: "small" }, icon("file"));
  if (file.type.startsWith("image/")) {
    createImageBitmap(file)
      .then((picture) => {
        const canvas = el("canvas", { width: SMALL_PX, height: SMALL_PX, "aria-hidden": "true" });
        const scale = Math.max(SMALL_PX / picture.width, SMALL_PX / picture.height);
        const [width, height] = [picture.width * scale, picture.height * scale];
        canvas.getContext("2d").drawImage(picture, (SMALL_PX - width) / 2, (SMALL_PX - height) / 2, width, height);
        place.replaceChildren(canvas);
      })
      .catch(() => {}); // no picture after all: the sign for a file stays
  }
  return place;
}

/** The files of a message. `openFile(file)` is called before a link is followed; it gives the address that counts now. */
export function filesElement(files, openFile) {
  return el("ul", { class: "files", "aria-label": messages.files }, ...files.map((file) => el("li", {}, fileElement(file, openFile))));
}

function fileElement(file, openFile) {
  const isShown = file.state === "stored" && file.url;
  if (!isShown) return chip("span", {}, file, messages.file_states[file.state] ?? file.state);
  const follow = async (event) => {
    const link = event.currentTarget;
    const fresh = openFile?.(file);
    if (!fresh) return;
    event.preventDefault();
    link.href = (await fresh) ?? link.href;
    window.open(link.href, "_blank", "noopener");
  };
  const attributes = { href: file.url, target: "_blank", rel: "noopener", onclick: follow };
  if (file.kind !== "image" || !file.width) return chip("a", attributes, file, sizeText(file.size));
  const scale = Math.min(1, PICTURE_PX / Math.max(file.width, file.height));
  const shape = { width: Math.round(file.width * scale), height: Math.round(file.height * scale) };
  return el("a", { ...attributes, class: "picture", "aria-label": messages.open_file(file.name) }, el("img", { src: file.url, alt: file.name, loading: "lazy", decoding: "async", ...shape }));
}

function chip(tag, attributes, file, about) {
  const name = el("span", { class: "name", dir: "auto" }, file.name);
  return el(tag, { ...attributes, class: "file" }, el("span", { class: "small" }, icon("file")), el("span", { class: "about" }, name, el("span", { class: "meta" }, about)));
}
