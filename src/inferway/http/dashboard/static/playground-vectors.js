// How alike vectors are: the cosine of every two, as a table whose cells are shaded and numbered.

import { el } from "./playground-dom.js";

const SHADES = 5;
const SHOWN = 24;

export function cosine(one, other) {
  let dot = 0, left = 0, right = 0;
  for (let index = 0; index < one.length; index += 1) {
    dot += one[index] * other[index];
    left += one[index] ** 2;
    right += other[index] ** 2;
  }
  return left && right ? dot / Math.sqrt(left * right) : 0;
}

export function vectorsView(vectors, names) {
  const short = names.map((name, index) => name || `Item ${index + 1}`);
  const parts = [];
  if (vectors.length > 1) parts.push(...matrix(vectors.slice(0, SHOWN), short));
  if (vectors.length > SHOWN) parts.push(el("p", { className: "hint" }, `The first ${SHOWN} of ${vectors.length} are compared.`));
  parts.push(el("h4", {}, "Vectors"), el("ul", {}, ...vectors.map((vector, index) =>
    el("li", {}, `${short[index]}: `, el("code", {}, `[${vector.slice(0, 5).map((each) => each.toFixed(4)).join(", ")}${vector.length > 5 ? ", …" : ""}]`)))));
  return parts;
}

function matrix(vectors, names) {
  const numbers = vectors.map((_, index) => index);
  const head = el("tr", {}, el("th", { scope: "col" }, "Text"), ...numbers.map((index) => {
    const cell = el("th", { scope: "col", className: "number" }, String(index + 1));
    cell.setAttribute("aria-label", names[index]);
    return cell;
  }));
  const rows = numbers.map((row) => el("tr", {}, el("th", { scope: "row" }, `${row + 1}. ${cut(names[row])}`),
    ...numbers.map((column) => {
      const value = cosine(vectors[row], vectors[column]);
      return el("td", { className: `near${Math.max(0, Math.min(SHADES, Math.round(value * SHADES)))}` }, value.toFixed(2));
    })));
  const table = el("table", { className: "matrix" }, el("caption", {}, "Cosine similarity"), el("thead", {}, head), el("tbody", {}, ...rows));
  const frame = el("div", { className: "table", tabIndex: 0 }, table);
  frame.setAttribute("role", "region");
  frame.setAttribute("aria-label", "Cosine similarity");
  return [frame];
}

function cut(text) {
  return text.length > 40 ? `${text.slice(0, 39)}…` : text;
}
