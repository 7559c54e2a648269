// Lists of text areas that grow and shrink: prompts, texts to embed, and the messages of a conversation.

import { el } from "./playground-dom.js";

const ROLES = ["user", "assistant", "system"];

export function textList(root, changed) {
  const name = root.dataset.texts;
  const items = root.querySelector(".items");
  const isTalk = name === "Message";

  function renumber() {
    const rows = [...items.children];
    rows.forEach((row, index) => {
      const title = rows.length > 1 || isTalk ? `${name} ${index + 1}` : name;
      row.querySelector("label").textContent = title;
      row.querySelector("select")?.setAttribute("aria-label", `Role of message ${index + 1}`);
      const remove = row.querySelector("button");
      remove.hidden = rows.length === 1;
      remove.setAttribute("aria-label", `Remove ${title.toLowerCase()}`);
    });
  }

  function add(text = "", role = "user") {
    const id = `${name.toLowerCase()}-${crypto.randomUUID?.() ?? Math.random()}`;
    const area = el("textarea", { id, rows: 3, value: text });
    const roles = el("select", {}, ...ROLES.map((each) => el("option", { selected: each === role }, each)));
    const remove = el("button", { type: "button", className: "bare" }, "Remove");
    const row = el("div", { className: "item" },
      el("div", { className: "head" }, el("label", { htmlFor: id }), isTalk ? roles : null, remove), area);
    remove.addEventListener("click", () => {
      const next = row.nextElementSibling ?? row.previousElementSibling;
      row.remove();
      renumber();
      next.querySelector("textarea").focus();
      changed();
    });
    items.append(row);
    renumber();
    return area;
  }

  root.querySelector("[data-add]").addEventListener("click", () => {
    const last = items.lastElementChild?.querySelector("select")?.value;
    add("", last === "user" ? "assistant" : "user").focus();
    changed();
  });
  add();

  const rows = () => [...items.querySelectorAll(".item")];
  return {
    add,
    texts: () => rows().map((row) => row.querySelector("textarea").value).filter((text) => text !== ""),
    messages: () => rows()
      .map((row) => ({ role: row.querySelector("select").value, content: row.querySelector("textarea").value }))
      .filter((message) => message.content !== ""),
    fill(texts) {
      items.replaceChildren();
      for (const text of texts) add(text);
    },
  };
}
