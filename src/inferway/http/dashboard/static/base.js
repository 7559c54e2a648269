// What every page can do beyond plain HTML. All of it is optional: links and forms work without.

// Asks before what cannot be undone: <form data-confirm="…">.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset?.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// Where the pages stand in a row that is wider than the screen, the one at hand is in sight.
const here = document.querySelector(".side [aria-current]");
if (here) {
  const row = here.closest(".side");
  row.scrollLeft += here.getBoundingClientRect().left - (row.clientWidth - here.offsetWidth) / 2;
}

// Copies the text of another element: <button data-copy="id" hidden>.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const source = document.getElementById(button.dataset.copy);
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(source.value ?? source.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl-C";
    }
    setTimeout(() => { button.textContent = said; }, 2000);
  });
}

// A choice that takes effect at once: <form data-auto>.
for (const form of document.querySelectorAll("form[data-auto]")) {
  form.addEventListener("change", () => form.requestSubmit());
}
