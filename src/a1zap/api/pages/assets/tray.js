// The files that go with the message being written: uploaded as soon as they are chosen, sent when the message is.
import { byId, el, icon, show, syncList } from "./dom.js";
import { canvasOf, sizeText } from "./file_view.js";
import { messages } from "./messages.js";
import { filesPath } from "./paths.js";

const FILES_MAX = 10;

export class Tray {
  /** onChange() after every change; visit(agentId): be known to the server as a visitor of this agent */
  constructor(list, { onChange, visit }) {
    Object.assign(this, { list, onChange, visit, agentId: null, bytesMax: Infinity, entries: [], count: 0 });
  }

  /** Files are for one agent: whoever turns to another begins anew. */
  open(agentId) {
    if (agentId !== this.agentId) this.clear();
    this.agentId = agentId;
  }

  get isEmpty() {
    return !this.entries.length;
  }

  get isReady() {
    return this.entries.every((entry) => entry.state === "ready");
  }

  add(files) {
    for (const file of files) {
      if (this.entries.length >= FILES_MAX) break;
      const entry = { key: `file ${(this.count += 1)}`, file, name: file.name || messages.pasted, size: file.size, progress: 0 };
      const isTooLarge = file.size > this.bytesMax;
      Object.assign(entry, isTooLarge ? { state: "failed", why: messages.file_too_large(sizeText(this.bytesMax)) } : { state: "uploading" });
      this.entries.push(entry);
      if (!isTooLarge) this.upload(entry);
    }
    this.draw();
  }

  remove(entry) {
    entry.request?.abort();
    this.entries = this.entries.filter((other) => other !== entry);
    this.draw();
  }

  /** What is ready goes out: its files as the server knows them. */
  take() {
    const sent = this.entries.map((entry) => entry.uploaded);
    this.entries = [];
    this.draw();
    return sent;
  }

  clear() {
    for (const entry of this.entries) entry.request?.abort();
    this.entries = [];
    this.draw();
  }

  async upload(entry) {
    try {
      await this.visit(this.agentId);
      entry.uploaded = await post(filesPath(this.agentId), entry, () => this.draw());
      entry.state = "ready";
    } catch (error) {
      Object.assign(entry, { state: "failed", why: error.message });
    }
    this.draw();
  }

  draw() {
    show(this.list, !this.isEmpty);
    syncList(this.list, this.entries.map((entry) => this.item(entry)));
    this.onChange();
  }

  item(entry) {
    const stamp = `${entry.state} ${Math.round(entry.progress * 100)}`;
    const below = (item) => {
      const [meta, bar] = [item.querySelector(".meta"), item.querySelector("progress")];
      meta.textContent = entry.state === "failed" ? entry.why : entry.state === "ready" ? sizeText(entry.size) : messages.uploading(Math.round(entry.progress * 100));
      bar.value = entry.progress;
      show(bar, entry.state === "uploading");
      item.classList.toggle("failed", entry.state === "failed");
    };
    const make = () => {
      const remove = el("button", { class: "icon drop-file", type: "button", "aria-label": messages.remove_file(entry.name), onclick: () => this.remove(entry) }, icon("cross"));
      const bar = el("progress", { max: 1, value: 0, "aria-label": messages.uploading_name(entry.name) });
      const name = el("span", { class: "name", dir: "auto" }, entry.name);
      const item = el("li", { class: "file" }, canvasOf(entry.file), el("span", { class: "about" }, name, el("span", { class: "meta" }), bar), remove);
      below(item);
      return item;
    };
    return { key: entry.key, stamp, make, mend: below };
  }
}

/** Upload one file; fetch cannot tell how far it is, so this is the older way. Raises an Error that says why not. */
function post(path, entry, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    entry.request = request;
    request.upload.addEventListener("progress", (event) => {
      entry.progress = event.lengthComputable ? event.loaded / event.total : 0;
      onProgress();
    });
    request.addEventListener("load", () => {
      const answer = read(request.responseText);
      if (request.status === 201) resolve(answer);
      else reject(new Error(answer.detail ?? messages.upload_failed));
    });
    for (const end of ["error", "abort", "timeout"]) request.addEventListener(end, () => reject(new Error(messages.upload_failed)));
    const form = new FormData();
    form.append("file", entry.file, entry.name);
    request.open("POST", path);
    request.setRequestHeader("Accept", "application/json");
    request.send(form);
  });
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** Files come by the button, are dropped anywhere on the page's main part, or pasted into the field, while `isWanted()`. */
export function takeFiles(tray, composer, isWanted) {
  const [area, veil, chooser] = [byId("main"), byId("veil"), byId("file-field")];
  const take = (files) => {
    tray.add([...files]);
    composer.focus();
  };
  let depth = 0; // how many elements, one in the other, the files are over
  const move = (by) => {
    depth = Math.max(0, depth + by);
    show(veil, depth > 0);
  };
  const on = (name, act) =>
    area.addEventListener(name, (event) => {
      if (isWanted() && [...(event.dataTransfer?.types ?? [])].includes("Files")) act(event);
    });
  on("dragenter", () => move(1));
  on("dragleave", () => move(-1));
  on("dragover", (event) => event.preventDefault());
  on("drop", (event) => {
    event.preventDefault();
    move(-depth);
    take(event.dataTransfer.files);
  });
  composer.field.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files ?? [];
    if (!files.length || !isWanted()) return;
    event.preventDefault();
    take(files);
  });
  byId("attach").addEventListener("click", () => chooser.click());
  chooser.addEventListener("change", () => {
    take(chooser.files);
    chooser.value = "";
  });
}
