// Images, videos and recordings: dropped, pasted, chosen, recorded, or named by a URL. Nothing leaves the browser before a call is sent.

import { bytes, el } from "./playground-dom.js";

const EXTENSIONS = { "audio/webm": "webm", "audio/mp4": "m4a", "audio/ogg": "ogg" };

export function mediaBox(root, changed) {
  const { media: kind, many } = root.dataset;
  const list = root.querySelector(".pieces");
  const complaint = root.querySelector("[role=alert]");
  const drop = root.querySelector(".drop");
  let pieces = [];

  function complain(text) {
    complaint.textContent = text;
    complaint.hidden = !text;
  }

  function keep(piece) {
    if (many !== "yes") clear();
    pieces.push(piece);
    complain("");
    list.append(piece.row);
    changed();
  }

  function clear() {
    for (const piece of pieces) forget(piece);
  }

  function forget(piece) {
    pieces = pieces.filter((each) => each !== piece);
    if (piece.shown?.startsWith("blob:")) URL.revokeObjectURL(piece.shown);
    piece.row.remove();
  }

  function show(piece, caption) {
    const remove = el("button", { type: "button", className: "bare", onclick: () => { forget(piece); changed(); drop.querySelector("input").focus(); } },
      "Remove");
    remove.setAttribute("aria-label", `Remove ${piece.name}`);
    piece.row = el("li", {}, piece.shown ? player(kind, piece) : null, el("div", { className: "hint" }, caption), remove);
    if (piece.isRecorded) {
      const save = el("a", { href: piece.shown, download: piece.name }, "Save");
      piece.row.append(" ", save);
    }
    keep(piece);
  }

  async function take(file, isRecorded = false) {
    if (!file.type.startsWith(`${kind}/`) && !(kind === "audio" && file.type.startsWith("video/"))) {
      complain(`${file.name || "That"} is no ${kind}.`);
      return;
    }
    const name = file.name || `pasted.${file.type.split("/")[1].split(";")[0]}`;
    const data = await dataUrl(file);
    show({ name, data, isRecorded, shown: URL.createObjectURL(file) }, `${name}, ${bytes(file.size)}`);
  }

  async function takeAll(files) {
    for (const file of files) await take(file);
  }

  function takeUrl() {
    const field = root.querySelector("[data-url]");
    const url = field.value.trim();
    if (!/^https?:\/\/./.test(url)) {
      complain("A URL begins with http:// or https://.");
      field.focus();
      return;
    }
    field.value = "";
    show({ name: url, url }, url);
  }

  const chooser = drop.querySelector("input");
  chooser.addEventListener("change", async () => {
    await takeAll(chooser.files);
    chooser.value = "";
  });
  root.querySelector("[data-add-url]").addEventListener("click", takeUrl);
  root.querySelector("[data-url]").addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); takeUrl(); }
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    takeAll(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith(`${kind}/`));
    if (root.hidden || !files.length) return;
    event.preventDefault();
    takeAll(files);
  });
  recorder(root.querySelector("[data-record]"), (file) => take(file, true), complain);

  return { pieces: () => pieces.map(({ name, data, url }) => ({ name, data, url })) };
}

function player(kind, piece) {
  if (kind === "image") return el("img", { src: piece.shown, alt: piece.name });
  const made = el(kind, { controls: true, src: piece.shown, preload: "metadata" });
  made.setAttribute("aria-label", piece.name);
  return made;
}

function dataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(file);
  });
}

function recorder(button, take, complain) {
  if (!button) return;
  let running = null;
  button.addEventListener("click", async () => {
    if (running) {
      running.stop();
      return;
    }
    try {
      running = await record(button, take);
    } catch (error) {
      complain(error.name === "NotAllowedError" ? "This page may not use the microphone." : "There is no microphone here.");
    }
  });

  async function record(shown, done) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
    const made = new MediaRecorder(stream);
    const parts = [];
    const began = performance.now();
    const clock = setInterval(() => { shown.textContent = `Stop recording (${Math.floor((performance.now() - began) / 1000)} s)`; }, 500);
    shown.textContent = "Stop recording";
    shown.classList.add("recording");
    made.addEventListener("dataavailable", (event) => parts.push(event.data));
    made.addEventListener("stop", () => {
      clearInterval(clock);
      for (const track of stream.getTracks()) track.stop();
      shown.textContent = "Record";
      shown.classList.remove("recording");
      running = null;
      const type = made.mimeType.split(";")[0] || "audio/webm";
      done(new File(parts, `recording.${EXTENSIONS[type] ?? "webm"}`, { type }));
    });
    made.start();
    return made;
  }
}
