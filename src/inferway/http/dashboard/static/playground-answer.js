// One column of answers: what comes, how long it takes, what it costs, and what was changed on the way.

import { el, milliseconds, usd } from "./playground-dom.js";
import { vectorsView } from "./playground-vectors.js";

const NAMES = { prompt: "in", completion: "out", reasoning: "reasoning", cached_prompt: "cached" };

export function answerColumn(root, target, names, stop) {
  const state = el("p", { className: "state" }, "Waiting for the answer …");
  state.setAttribute("role", "status");
  const stopper = el("button", { type: "button", className: "danger small", onclick: stop }, "Stop");
  const title = `${target.provider} ${target.model}`;
  stopper.setAttribute("aria-label", `Stop ${title}`);
  const figures = el("dl", { className: "figures" });
  const content = el("div");
  const box = el("article", { className: "answer" },
    el("div", { className: "head" }, el("h3", {}, title), stopper), state, figures, content);
  box.setAttribute("aria-label", title);
  root.append(box);
  const began = performance.now();
  const texts = new Map();
  let firstMs = null;

  function figure(name, value) {
    figures.append(el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  }

  function place(index) {
    if (!texts.has(index)) {
      const part = { reasoning: null, text: el("pre"), root: el("div", { className: "item" }) };
      if (names.length > 1) part.root.append(el("h4", {}, `Prompt ${index + 1}`));
      part.root.append(part.text);
      texts.set(index, part);
      const later = [...content.children].find((each) => Number(each.dataset.index) > index);
      part.root.dataset.index = index;
      content.insertBefore(part.root, later ?? null);
    }
    return texts.get(index);
  }

  function reason(index, text) {
    const part = place(index);
    if (!part.reasoning) {
      part.reasoning = el("pre");
      part.root.insertBefore(el("details", {}, el("summary", {}, "Reasoning"), part.reasoning), part.text);
    }
    part.reasoning.append(text);
  }

  function end(word, className) {
    stopper.remove();
    state.replaceChildren(el("span", { className: `badge ${className}` }, word));
  }

  return {
    tell(name, data) {
      if (name.endsWith("delta")) firstMs ??= performance.now() - began;
      if (name === "start") state.textContent = "Answering …";
      if (name === "delta") place(data.index).text.append(data.text);
      if (name === "reasoning_delta") reason(data.index, data.text);
    },
    done(answer) {
      const totalMs = performance.now() - began;
      end("Done", "good");
      if (firstMs !== null) figure("First token", milliseconds(firstMs));
      figure("Total", milliseconds(totalMs));
      figure("In the server", milliseconds(answer.latency_ms));
      figure("Tokens", tokens(answer.tokens_used));
      figure("Cost", usd(answer.cost_usd));
      const data = answer.data ?? {};
      if (data.completions) data.completions.forEach((each, index) => finish(place(index), each));
      else content.append(...other(data, names, figure));
      box.append(...remarks(answer, target));
    },
    offer(words, act) {
      box.append(el("button", { type: "button", className: "quiet small", onclick: act }, words));
    },
    failed(error) {
      end(error.name === "AbortError" ? "Stopped" : "Failed", error.name === "AbortError" ? "warn" : "bad");
      figure("Total", milliseconds(performance.now() - began));
      if (error.name === "AbortError") return;
      const said = el("p", { className: "error" }, error.message);
      box.append(said, facts({ Code: error.code, Status: error.status, "Request id": error.requestId }));
      if (error.details) box.append(el("details", {}, el("summary", {}, "Details"), code(error.details)));
    },
  };
}

function tokens(used) {
  if (!used) return "not counted";
  const parts = Object.entries(NAMES).filter(([name]) => used[name]).map(([name, word]) => `${used[name].toLocaleString("en")} ${word}`);
  return parts.join(", ") || "0";
}

function finish(part, completion) {
  if (completion.parsed === undefined) part.text.textContent = completion.text ?? "";
  else part.text.replaceWith(code(completion.parsed));
  if (!part.text.textContent) part.text.hidden = true;
  if (completion.error) part.root.append(el("p", { className: "error" }, `${completion.error.message ?? "failed"} (${completion.error.code ?? completion.error.type})`));
  if (completion.tool_calls?.length) part.root.append(el("h4", {}, "Tool calls"), code(completion.tool_calls));
  const badges = el("p", {});
  if (completion.structured) {
    const { method, valid, repairs } = completion.structured;
    badges.append(el("span", { className: `badge ${valid ? "good" : "bad"}` }, valid ? "valid" : "not valid"),
      el("span", { className: "badge" }, `method: ${method}`), el("span", { className: "badge" }, `repairs: ${repairs}`));
  }
  if (completion.finish_reason) {
    const isPlain = ["stop", "tool_calls"].includes(completion.finish_reason);
    badges.append(el("span", { className: `badge ${isPlain ? "" : "warn"}` }, `ended: ${completion.finish_reason}`));
  }
  part.root.append(badges);
}

function other(data, names, figure) {
  if (data.dry_run) return dry(data);
  const vectors = data.embeddings ?? (data.embedding ? [data.embedding] : null);
  if (vectors) {
    figure("Dimensions", String(vectors[0]?.length ?? 0));
    return vectorsView(vectors, names);
  }
  if (typeof data.text === "string") return transcript(data, figure);
  return [code(data)];
}

function dry(data) {
  return data.targets.flatMap((target) => [
    el("p", {}, `About ${target.estimate.prompt_tokens} tokens in; at most ${usd(target.estimate.cost_usd)}.`),
    ...target.requests.map((request) => code(request)),
  ]);
}

function transcript(data, figure) {
  if (data.duration_s !== undefined) figure("Recording", `${Number(data.duration_s).toFixed(1)} s`);
  if (data.language) figure("Language", data.language);
  const parts = [el("pre", {}, data.text)];
  const rows = data.words ?? data.segments;
  if (rows?.length) {
    const table = el("table", {}, el("caption", {}, data.words ? "Words" : "Segments"),
      el("thead", {}, el("tr", {}, ...["From", "To", "Text"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...rows.map((row) => el("tr", {}, el("td", {}, `${row.start_s} s`), el("td", {}, `${row.end_s} s`), el("td", {}, row.text ?? row.word)))));
    const frame = el("div", { className: "table", tabIndex: 0 }, table);
    frame.setAttribute("role", "region");
    frame.setAttribute("aria-label", "Times");
    parts.push(frame);
  }
  return parts;
}

function remarks(answer, target) {
  const parts = [];
  if (answer.adaptations?.length) {
    parts.push(el("h4", {}, "Changed on the way"), el("ul", {}, ...answer.adaptations.map((each) =>
      el("li", {}, el("code", {}, each.field), ` ${each.action}: ${each.reason}`))));
  }
  if (answer.warnings?.length) parts.push(el("h4", {}, "Warnings"), el("ul", {}, ...answer.warnings.map((each) => el("li", {}, each))));
  const really = answer.provider === target.provider && answer.model === target.model ? null : `${answer.provider} ${answer.model}`;
  parts.push(facts({ "Answered by": really, Version: answer.model_version, "Request id": answer.request_id }));
  return parts;
}

function facts(named) {
  const list = el("dl", { className: "facts hint" });
  for (const [name, value] of Object.entries(named)) {
    if (value !== null && value !== undefined) list.append(el("dt", {}, name), el("dd", {}, String(value)));
  }
  return list;
}

function code(value) {
  return el("pre", { className: "code", tabIndex: 0 }, JSON.stringify(value, null, 2));
}
