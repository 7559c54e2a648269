// The editor of a schema: says where JSON is wrong, tidies it, and offers beginnings.

import { el } from "./playground-dom.js";

const EXAMPLES = {
  "a person": {
    type: "object",
    properties: { name: { type: "string" }, age: { type: "integer", minimum: 0 }, email: { type: "string" } },
    required: ["name", "age", "email"], additionalProperties: false,
  },
  "one of several classes": {
    type: "object",
    properties: { label: { type: "string", enum: ["positive", "neutral", "negative"] }, reason: { type: "string" } },
    required: ["label", "reason"], additionalProperties: false,
  },
  "a list of items": {
    type: "object",
    properties: {
      items: {
        type: "array",
        items: {
          type: "object", properties: { description: { type: "string" }, amount: { type: "number" } },
          required: ["description", "amount"], additionalProperties: false,
        },
      },
    },
    required: ["items"], additionalProperties: false,
  },
};
const TYPES = ["string", "number", "integer", "boolean", "object", "array", "null"];

export function schemaEditor(form, changed) {
  const area = form.querySelector("#schema");
  const said = form.querySelector("#schema-said");
  const choice = form.querySelector("#schema-example");
  choice.append(...Object.keys(EXAMPLES).map((name) => el("option", { value: name }, name)));

  function put(value) {
    area.value = JSON.stringify(value, null, 2);
    check();
    changed();
  }

  function check() {
    const { problem } = readSchema(area.value);
    area.setAttribute("aria-invalid", String(Boolean(problem)));
    said.className = problem ? "field-error" : "hint";
    said.textContent = problem ?? "Well formed. The server checks what it means before a call goes out.";
    return problem;
  }

  area.addEventListener("input", check);
  choice.addEventListener("change", () => {
    if (choice.value) put(EXAMPLES[choice.value]);
    choice.value = "";
  });
  form.querySelector("#schema-tidy").addEventListener("click", () => {
    const { value, problem } = readSchema(area.value);
    if (!problem) put(value);
    else area.focus();
  });
  put(EXAMPLES["a person"]);
  return { read: () => readSchema(area.value), focus: () => area.focus() };
}

export function readSchema(text) {
  const { value, problem } = readJson(text);
  if (problem) return { problem };
  if (typeof value === "boolean") return { value };
  if (value === null || typeof value !== "object" || Array.isArray(value)) return { problem: "A schema is an object." };
  return { value, problem: strange(value, "schema") };
}

// JSON, or where it stops being any: with line and column, which browsers tell in different ways.
export function readJson(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const at = /position (\d+)/.exec(error.message);
    const where = /line (\d+) column (\d+)/.exec(error.message);
    const what = error.message.replace(/ in JSON.*| \(line.*|^JSON\.parse: |, \.\.\..*/s, "");
    if (where) return { problem: `Line ${where[1]}, column ${where[2]}: ${what}` };
    if (!at) return { problem: `Not JSON: ${what}` };
    const before = text.slice(0, Number(at[1])).split("\n");
    return { problem: `Line ${before.length}, column ${before.at(-1).length + 1}: ${what}` };
  }
}

// What is a slip for certain: a type that does not exist, a required property that is not there.
function strange(schema, place) {
  if (schema === null || typeof schema !== "object" || Array.isArray(schema)) return undefined;
  const unknown = [schema.type].flat().find((type) => type !== undefined && !TYPES.includes(type));
  if (unknown !== undefined) return `${place}: there is no type ${JSON.stringify(unknown)}; there are ${TYPES.join(", ")}.`;
  const properties = schema.properties ?? {};
  const missing = schema.properties && Array.isArray(schema.required) ? schema.required.find((name) => !Object.hasOwn(properties, name)) : undefined;
  if (missing !== undefined && schema.additionalProperties === false) return `${place}: ${JSON.stringify(missing)} is required and not among its properties.`;
  for (const [name, inner] of Object.entries(properties)) {
    const found = strange(inner, `${place}/${name}`);
    if (found) return found;
  }
  return strange(schema.items, `${place}/items`);
}
