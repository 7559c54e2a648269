// The call on the page as code that somebody can run: every value is quoted for its language, and files are read where the code runs.

const MARK = "file-content-";

// `call` is {url, namespace, body, files}: `files` are names by the text that stands for their content in the body.
export function asCurl({ url, namespace, body, files }) {
  const json = JSON.stringify(body, null, 2);
  const names = Object.entries(files);
  const head = [
    `curl -sS${body.stream ? "N" : ""} ${shell(`${url}/v1/inference`)} \\`,
    '  -H "Authorization: Bearer $INFERWAY_API_KEY" \\',
    `  -H ${shell(`X-Namespace: ${namespace}`)} \\`,
    "  -H 'Content-Type: application/json' \\",
  ];
  if (!names.length) return [...head, "  --data-binary @- <<'JSON'", json, "JSON", ""].join("\n");
  // What the shell would read in the text is escaped, so that it reads the files and nothing else.
  let filled = json.replace(/[\\$`]/g, "\\$&");
  for (const [mark, name] of names) filled = filled.replaceAll(mark, () => `$(base64 < ${shell(name)} | tr -d '\\n')`);
  return [...head, "  --data-binary @- <<JSON", filled, "JSON", ""].join("\n");
}

export function asPython(call) {
  const { url, namespace, body, files } = call;
  const { method, lines } = pythonCall(call);
  const imports = [...(Object.keys(files).length ? ["from pathlib import Path", ""] : []), "from inferway import Client", ""];
  const client = `Client(${py(url)}, namespace=${py(namespace)})`;
  const given = lines.map((line) => `    ${line},`.replaceAll("\n", "\n    "));
  const indented = (text) => text.split("\n").map((line) => (line ? `    ${line}` : line)).join("\n");
  if (body.stream) {
    const shown = isSingle(body)
      ? ["    for piece in stream.text():", '        print(piece, end="", flush=True)', "    print()"]
      : ["    for event in stream:", "        print(event.name, event.data)"];
    return [...imports, `with ${client} as client, client.stream(`, ...given, ") as stream:", ...shown,
      "    print(stream.answer.tokens_used, stream.answer.cost_usd)", ""].join("\n");
  }
  const asked = [`answer = client.${method}(`, ...given, ")", ...shownBy(body, method)].join("\n");
  return [...imports, `with ${client} as client:`, indented(asked), ""].join("\n");
}

export function asMixpeek({ url, namespace, body, files }) {
  const { stream, ...sent } = body;
  const names = Object.keys(files).length > 0;
  const fields = Object.entries(sent).map(([name, value]) => `        ${name}=${py(value, 2, files, "read")},`);
  return [
    ...(names ? ["import base64"] : []), "import os", ...(names ? ["from pathlib import Path"] : []), "",
    "import mixpeek", "from mixpeek.api.inference_api import InferenceApi", "from mixpeek.models.raw_inference_request import RawInferenceRequest", "",
    ...(names ? ["", "def read(name):", "    return base64.b64encode(Path(name).read_bytes()).decode()", "", ""] : []),
    `client = mixpeek.ApiClient(mixpeek.Configuration(host=${py(url)}))`,
    "client.default_headers[\"Authorization\"] = \"Bearer \" + os.environ[\"INFERWAY_API_KEY\"]",
    `client.default_headers["X-Namespace"] = ${py(namespace)}`,
    "answer = InferenceApi(client).execute_raw_inference(", "    RawInferenceRequest(", ...fields, "    )", ")",
    "print(answer.data)", "",
  ].join("\n");
}

export function mark(index) {
  return `${MARK}${index}-${crypto.getRandomValues(new Uint32Array(4)).join("")}`;
}

function shell(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function isSingle(body) {
  return Boolean(body.inputs.messages) || body.inputs.prompts?.length === 1;
}

// The client's own method for a body, with its arguments.
function pythonCall({ body, files }) {
  const { inputs, parameters = {} } = body;
  const media = (...names) => names.flatMap((name) => [inputs[name] ?? []].flat());
  const value = (each) => py(each, 0, files, "Path");
  const list = (all) => `[${all.map(value).join(", ")}]`;
  const images = media("image_url", "image_urls", "image_base64", "images_base64");
  const lines = [];
  let method = "chat";
  if (inputs.prompts ?? inputs.messages) {
    lines.push(value(inputs.messages ?? (inputs.prompts.length === 1 ? inputs.prompts[0] : inputs.prompts)));
    if (inputs.system !== undefined) lines.push(`system=${value(inputs.system)}`);
    if (images.length) lines.push(`images=${list(images)}`);
  } else if (inputs.audio_url ?? inputs.audio_base64) {
    method = "transcribe";
    lines.push(value(inputs.audio_url ?? inputs.audio_base64));
  } else {
    method = "embed";
    if (inputs.text ?? inputs.texts) lines.push(value(inputs.text ?? inputs.texts));
    if (images.length) lines.push(`images=${list(images)}`);
    if (inputs.video_url ?? inputs.video_base64) lines.push(`video=${value(inputs.video_url ?? inputs.video_base64)}`);
  }
  lines.push(`provider=${value(body.provider)}`, `model=${value(body.model)}`);
  for (const [name, given] of Object.entries(parameters)) lines.push(`${name}=${value(given)}`);
  return { method, lines };
}

function shownBy(body, method) {
  if (method === "embed") return ["print(len(answer.vectors), len(answer.vector))"];
  if (method === "transcribe") return ["print(answer.text)"];
  if (body.parameters?.schema !== undefined && isSingle(body)) return ["print(answer.parsed)"];
  if (isSingle(body)) return ["print(answer.text)"];
  return ["for completion in answer.completions:", "    print(completion)"];
}

// A value as a Python literal. JSON's strings are Python's; a file's content is read by `reader`.
function py(value, depth = 0, files = {}, reader = "") {
  const inner = (each) => py(each, depth + 1, files, reader);
  const pad = "    ".repeat(depth + 1);
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return Object.hasOwn(files, value) ? `${reader}(${JSON.stringify(files[value])})` : JSON.stringify(value);
  const isList = Array.isArray(value);
  const parts = isList ? value.map(inner) : Object.entries(value).map(([name, each]) => `${JSON.stringify(name)}: ${inner(each)}`);
  const [open, close] = isList ? "[]" : "{}";
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length <= 88 && !line.includes("\n")) return line;
  return `${open}\n${parts.map((part) => `${pad}${part},`).join("\n")}\n${"    ".repeat(depth)}${close}`;
}
