// Puts a call together out of the form, sends it to each chosen model, and shows it as code. Nothing of it is kept anywhere.

import { answerColumn } from "./playground-answer.js";
import { asCurl, asMixpeek, asPython, mark } from "./playground-code.js";
import { el } from "./playground-dom.js";
import { mediaBox } from "./playground-media.js";
import { send } from "./playground-run.js";
import { readJson, schemaEditor } from "./playground-schema.js";
import { limitNotes, targetList } from "./playground-targets.js";
import { textList } from "./playground-texts.js";

const form = document.getElementById("playground");
const said = document.getElementById("said");
const answers = document.getElementById("answers");
const stopAll = document.getElementById("stop");
const WRITERS = { curl: asCurl, python: asPython, mixpeek: asMixpeek };
const NOTES = {
  curl: "Set INFERWAY_API_KEY to one of your keys first.",
  python: "Set INFERWAY_API_KEY to one of your keys first. The client comes with Inferway itself: pip install inferway.",
  mixpeek: "Set INFERWAY_API_KEY to one of your keys first. pip install mixpeek. It has no streams: the answer comes whole.",
};
const running = new Set();
let timer;
let isArranged = false;
let isComplaining = false;

const texts = Object.fromEntries([...form.querySelectorAll("[data-texts]")].map((root) => [root.dataset.texts, textList(root, changed)]));
const media = Object.fromEntries([...form.querySelectorAll("[data-media]")].map((root) => [root.dataset.media, mediaBox(root, changed)]));
const schema = schemaEditor(form, changed);
const targets = targetList(document.getElementById("targets"), document.getElementById("add-target"), JSON.parse(form.dataset.models), changed);
const note = limitNotes(form);

// What is chosen: the operation of the form, its variant, and the API's name for both.
function chosen() {
  const operation = form.elements.operation.value;
  const variant = { chat: form.elements.shape.value, embedding: form.elements.embedded.value }[operation] ?? "";
  const embedded = { texts: "text_embedding", images: "image_embedding", video: "video_embedding" }[variant];
  const name = { vision: "vision", structured: "chat", transcription: "transcription", chat: "chat" }[operation] ?? embedded;
  return { operation, variant, name };
}

function arrange() {
  const { operation, variant, name } = chosen();
  for (const part of form.querySelectorAll("[data-on]")) {
    const words = part.dataset.on.split(" ");
    part.hidden = !words.includes(operation) && !words.includes(`${operation}/${variant}`);
  }
  targets.serve([name]);
  const address = new URL(location.href);
  address.searchParams.set("operation", operation);
  address.searchParams.delete("done");
  history.replaceState(null, "", address);
  changed();
}

class Missing extends Error {
  constructor(message, field) {
    super(message);
    this.field = field;
  }
}

function put(inputs, kind, pieces) {
  const urls = pieces.filter((each) => each.url).map((each) => each.url);
  const contents = pieces.filter((each) => each.data).map((each) => each.data);
  if (urls.length) Object.assign(inputs, urls.length === 1 ? { [`${kind}_url`]: urls[0] } : { [`${kind}_urls`]: urls });
  if (contents.length) Object.assign(inputs, contents.length === 1 ? { [`${kind}_base64`]: contents[0] } : { [`${kind}s_base64`]: contents });
}

function readInputs(pieces) {
  const { operation, variant } = chosen();
  const inputs = {};
  const kind = { vision: "image", transcription: "audio", embedding: { images: "image", video: "video" }[variant] }[operation];
  if (kind) {
    if (!pieces[kind].length) throw new Missing(`There is no ${kind === "audio" ? "recording" : kind} yet.`, form.querySelector(`[data-media=${kind}] input`));
    put(inputs, kind, pieces[kind]);
  }
  if (operation === "embedding" && variant === "texts") {
    const given = texts.Text.texts();
    if (!given.length) throw new Missing("There is no text yet.", form.querySelector("[data-texts=Text] textarea"));
    return given.length === 1 ? { text: given[0] } : { texts: given };
  }
  if (operation === "chat" && variant === "messages") {
    const messages = texts.Message.messages();
    if (!messages.length) throw new Missing("There is no message yet.", form.querySelector("[data-texts=Message] textarea"));
    return { messages };
  }
  if (["chat", "vision", "structured"].includes(operation)) {
    const prompts = texts.Prompt.texts();
    if (!prompts.length) throw new Missing("There is no prompt yet.", form.querySelector("[data-texts=Prompt] textarea"));
    const system = form.elements.system.value;
    return { prompts, ...(system ? { system } : {}), ...inputs };
  }
  return inputs;
}

function readParameters() {
  const parameters = {};
  for (const place of form.querySelectorAll("[data-parameter]:not([hidden])")) {
    const field = place.querySelector("input, select, textarea");
    const value = readField(place, field);
    if (value !== undefined) parameters[place.dataset.parameter] = value;
  }
  if (chosen().operation === "structured") {
    const { value, problem } = schema.read();
    if (problem) throw new Missing(`The schema: ${problem}`, form.querySelector("#schema"));
    parameters.schema = value;
  }
  if (form.elements.strict.checked) parameters.strict = true;
  return parameters;
}

function readField(place, field) {
  const label = place.querySelector("label").textContent;
  const { kind } = place.dataset;
  if (field.validity.badInput) throw new Missing(`${label}: that is no number.`, field);
  if (field.value.trim() === "") return undefined;
  if (kind === "number") return Number(field.value);
  if (kind === "lines") return field.value.split("\n").filter((line) => line !== "");
  if (kind !== "json") return field.value;
  const { value, problem } = readJson(field.value);
  if (problem) throw new Missing(`${label}: ${problem}`, field);
  return value;
}

// The body of a call; `pieces` are the media, as they are or as what stands for them.
function bodyFor(target, pieces) {
  if (!target.provider || !target.model) throw new Missing("A model has no name yet.", targets.fields().find((field) => !field.parentElement.hidden && !field.value.trim()));
  const parameters = readParameters();
  const isStreamed = form.elements.stream.checked && ["chat", "vision", "structured"].includes(chosen().operation);
  return {
    provider: target.provider, model: target.model, inputs: readInputs(pieces),
    ...(Object.keys(parameters).length ? { parameters } : {}), ...(isStreamed ? { stream: true } : {}),
  };
}

const pieces = () => Object.fromEntries(Object.entries(media).map(([kind, box]) => [kind, box.pieces()]));

function complain(error) {
  isComplaining = true;
  said.textContent = error.message;
  said.className = "field-error";
  error.field?.closest("details")?.setAttribute("open", "");
  error.field?.focus();
}

// The code follows at once, as somebody may copy it at once; models are asked about when the typing pauses.
function changed() {
  if (!isArranged) return;
  isComplaining = false;
  showCode();
  clearTimeout(timer);
  timer = setTimeout(refresh, 250);
}

async function refresh() {
  const troubles = await note(targets.list(), chosen().name);
  if (isComplaining) return;
  said.className = troubles.length ? "field-error" : "hint";
  said.textContent = troubles.join(" ");
}

function showCode() {
  const list = targets.list();
  const select = document.getElementById("code-target");
  const picked = Math.min(Math.max(select.selectedIndex, 0), list.length - 1);
  select.replaceChildren(...list.map((each, index) => el("option", { selected: index === picked }, `${each.provider} ${each.model}`)));
  select.parentElement.hidden = list.length < 2;
  const language = document.querySelector("[name=language]:checked").value;
  const files = {};
  const marked = Object.fromEntries(Object.entries(pieces()).map(([kind, all]) => [kind, all.map((each, index) => {
    if (!each.data) return each;
    const text = mark(index);
    files[text] = each.name;
    return { ...each, data: text };
  })]));
  const place = document.getElementById("code");
  try {
    const body = bodyFor(list[picked], marked);
    place.textContent = WRITERS[language]({ url: location.origin, namespace: form.elements.namespace.value, body, files });
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    place.textContent = error.message;
  }
  document.getElementById("code-note").textContent = NOTES[language];
  document.getElementById("code-part").hidden = false;
}

async function run(extra = {}) {
  for (const each of running) each.abort();
  const list = targets.list();
  let bodies;
  try {
    bodies = list.map((target) => ({ ...bodyFor(target, pieces()), ...extra }));
  } catch (error) {
    if (!(error instanceof Missing)) throw error;
    complain(error);
    return;
  }
  document.getElementById("answers-part").hidden = false;
  answers.replaceChildren();
  isComplaining = false;
  stopAll.hidden = false;
  said.className = "hint";
  said.textContent = "";
  document.getElementById("answers-part").scrollIntoView({ block: "start" });
  await Promise.all(bodies.map((body, index) => runOne(body, list[index])));
  stopAll.hidden = running.size === 0;
}

async function runOne(body, target) {
  const control = new AbortController();
  running.add(control);
  const { prompts, texts: many, text } = body.inputs;
  const names = prompts ?? many ?? (text ? [text] : pieces().image.map((each) => each.name));
  const column = answerColumn(answers, target, names, () => control.abort());
  try {
    const { csrf } = form.dataset;
    const answer = await send(body, { namespace: form.elements.namespace.value, csrf, signal: control.signal, tell: column.tell });
    column.done(answer);
    const reply = body.inputs.messages ? answer.data.completions?.[0]?.text : "";
    if (reply) column.offer("Go on from this answer", () => goOn(reply));
  } catch (error) {
    column.failed(error);
  } finally {
    running.delete(control);
  }
}

function goOn(reply) {
  texts.Message.add(reply, "assistant");
  texts.Message.add("", "user").focus();
  changed();
}

form.addEventListener("input", changed);
form.addEventListener("change", (event) => {
  if (["operation", "shape", "embedded"].includes(event.target.name)) arrange();
  else changed();
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (form.dataset.may === "yes") run();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  else if (event.key === "Enter" && event.target.matches("[type=text], [type=number], [type=url]")) event.preventDefault();
});
document.getElementById("dry").addEventListener("click", () => run({ dry_run: true, stream: false }));
stopAll.addEventListener("click", () => { for (const each of running) each.abort(); });
document.getElementById("code-part").addEventListener("change", showCode);
targets.add();
form.elements.operation.value = form.dataset.operation;
isArranged = true;
arrange();
