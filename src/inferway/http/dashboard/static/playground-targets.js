// Which models are asked, up to three side by side, and what each makes of the parameters.

import { el, plain } from "./playground-dom.js";

const MOST = 3;

export function targetList(root, button, providers, changed) {
  let operations = ["chat"];
  let made = 0;

  function offered(provider) {
    const known = providers.find((each) => each.provider === provider)?.models ?? [];
    return known.filter((each) => each.operations.some((one) => operations.includes(one))).map((each) => each.model);
  }

  function first() {
    const able = providers.filter((each) => offered(each.provider).length);
    const ready = able.filter((each) => each.configured);
    const found = ready.find((each) => each.provider !== "fake") ?? ready[0] ?? able[0] ?? providers[0];
    return found?.provider;
  }

  // Fills the list of models, and chooses one of them: the one at hand if it is there.
  function suggest(row, wanted) {
    const names = offered(row.provider.value);
    row.model.replaceChildren(...names.map((name) => el("option", { value: name }, name)), el("option", { value: "" }, "Another model …"));
    row.model.value = names.includes(wanted) ? wanted : names[0] ?? "";
    show(row);
    return names;
  }

  function show(row) {
    row.typed.parentElement.hidden = row.model.value !== "";
  }

  function add() {
    const before = rows();
    const id = `target-${made += 1}`;
    const provider = el("select", { id: `${id}-provider` }, ...providers.map((each) =>
      el("option", { value: each.provider }, each.configured ? each.provider : `${each.provider} (no credential)`)));
    const model = el("select", { id: `${id}-model` });
    const typed = el("input", { id: `${id}-name`, type: "text", spellcheck: false, placeholder: "as its provider calls it" });
    const labelled = (words, field) => el("div", {}, el("label", { htmlFor: field.id }, words), field);
    const remove = el("button", { type: "button", className: "bare" }, "Remove");
    const box = el("fieldset", {}, el("legend"), el("div", { className: "row" },
      labelled("Provider", provider), labelled("Model", model), remove), labelled("Its name", typed));
    const row = { box, provider, model, typed };
    box.row = row;
    provider.value = before.at(-1)?.provider.value ?? first() ?? "";
    const fresh = offered(provider.value).find((name) => !before.some((each) => nameOf(each) === name));
    suggest(row, fresh);
    provider.addEventListener("change", () => { suggest(row); changed(); });
    model.addEventListener("change", () => {
      show(row);
      if (!model.value) typed.focus();
    });
    remove.addEventListener("click", () => { box.remove(); renumber(); button.focus(); changed(); });
    root.append(box);
    renumber();
    return model;
  }

  const nameOf = (row) => row.model.value || row.typed.value.trim();
  const rows = () => [...root.children].map((box) => box.row);

  function renumber() {
    rows().forEach((row, index) => {
      row.box.querySelector("legend").textContent = `Model ${index + 1}`;
      row.box.querySelector("button").hidden = rows().length === 1;
      row.box.querySelector("button").setAttribute("aria-label", `Remove model ${index + 1}`);
    });
    button.disabled = rows().length >= MOST;
  }

  button.addEventListener("click", () => { add().focus(); changed(); });
  return {
    add,
    list: () => rows().map((row) => ({ provider: row.provider.value, model: nameOf(row) })),
    fields: () => rows().map((row) => row.typed),
    // Another operation: models that do not serve it give way to one that does.
    serve(needed) {
      operations = needed;
      for (const row of rows()) {
        if (!row.model.value && row.typed.value) continue;
        if (!offered(row.provider.value).length) row.provider.value = first() ?? row.provider.value;
        suggest(row, row.model.value);
      }
    },
  };
}

// Writes below each parameter what the chosen models make of it.
export function limitNotes(form) {
  const known = new Map();
  let round = 0;

  async function ask(target, operation) {
    const key = JSON.stringify([target.provider, target.model, operation]);
    if (!known.has(key)) {
      const query = new URLSearchParams({ model: target.model, operation });
      const answer = await fetch(`/playground/models/${encodeURIComponent(target.provider)}?${query}`);
      const found = answer.ok ? (await answer.json()).results[0]?.models[0]?.detail?.[0] : null;
      known.set(key, found ?? null);
    }
    return known.get(key);
  }

  return async (targets, operation) => {
    const mine = ++round;
    const named = targets.filter((each) => each.provider && each.model);
    const told = await Promise.all(named.map(async (target) => ({ target, detail: await ask(target, operation).catch(() => null) })));
    if (mine !== round) return [];
    for (const place of form.querySelectorAll("[data-parameter]")) note(place, told);
    return told.filter(({ detail }) => detail && !detail.served)
      .map(({ target, detail }) => `${target.provider} ${target.model}: ${detail.reason}`);
  };
}

function note(place, told) {
  const field = place.querySelector("input, select, textarea");
  const lines = [];
  let dropping = 0;
  for (const { target, detail } of told) {
    const found = detail?.parameters.find((each) => each.name === place.dataset.parameter);
    if (!found) continue;
    if (!found.taken) dropping += 1;
    const said = found.taken ? bounds(found, field.value) : { text: `dropped: ${found.reason}`, kind: "dropped" };
    if (said) lines.push({ ...said, model: target.model });
  }
  place.classList.toggle("unused", dropping > 0 && dropping === told.length);
  const isOne = told.length === 1 || (lines.length === told.length && new Set(lines.map((line) => line.text)).size === 1);
  const shown = isOne ? lines.slice(0, 1) : lines;
  place.querySelector(".limits").replaceChildren(...shown.map((line) =>
    el("li", { className: line.kind }, isOne ? line.text : `${line.model}: ${line.text}`)));
}

// What is taken, and what will become of a value beyond that.
function bounds(found, value) {
  const { minimum, maximum } = found;
  const number = value === "" ? NaN : Number(value);
  if (maximum !== null && number > maximum) return { text: `at most ${plain(maximum)}: it will be lowered`, kind: "changed" };
  if (minimum !== null && number < minimum) return { text: `at least ${plain(minimum)}`, kind: "changed" };
  if (minimum !== null && maximum !== null) return { text: `${plain(minimum)} to ${plain(maximum)}` };
  if (maximum !== null) return { text: `at most ${plain(maximum)}` };
  if (minimum !== null) return { text: `from ${plain(minimum)}` };
  if (found.at_most !== null) return { text: `at most ${found.at_most}` };
  if (!found.choices) return null;
  if (value && !found.choices.includes(value)) return { text: `takes ${found.choices.join(", ")}`, kind: "changed" };
  return { text: found.choices.join(", ") };
}
