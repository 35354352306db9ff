// Runs once; `element`, `trigger` and `watch` are Gradio's. The listeners sit on the element, whose content changes.
const REPEAT = 8000; // ms after which an answer that got no reply may be sent again: the first that arrives counts
const boxes = (question) => [...element.querySelectorAll(`input[data-question="${question}"]`)];
const questions = () => [...element.querySelectorAll("[data-count]")].map((count) => count.dataset.count);
const chosen = (question) => boxes(question).filter((box) => box.checked).map((box) => box.value);

// How many are chosen; when two are, the others rest until one is taken back.
function update() {
  const form = element.querySelector("form");
  if (!form) return;
  for (const question of questions()) {
    const count = chosen(question).length;
    element.querySelector(`[data-count="${question}"] b`).textContent = count;
    for (const box of boxes(question)) box.disabled = !box.checked && count >= Number(form.dataset.choices);
  }
}

function wait(button) {
  button.disabled = true;
  setTimeout(() => (button.disabled = false), REPEAT);
}

element.addEventListener("change", update);
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-begin]");
  if (!button) return;
  wait(button);
  trigger("begin");
});
element.addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  const wanted = Number(form.dataset.choices);
  const open = questions().findIndex((question) => chosen(question).length !== wanted);
  const message = form.querySelector(".message");
  if (open >= 0) {
    message.textContent = `Please choose ${wanted} pictures for question ${open + 1}.`;
    const name = questions()[open];
    (boxes(name).find((box) => !box.checked) || boxes(name)[0]).focus();
    return;
  }
  message.textContent = "";
  wait(form.querySelector("button"));
  const choices = Object.fromEntries(questions().map((question) => [question, chosen(question)]));
  trigger("answer", { item: form.dataset.item, choices });
});
watch("value", () => {
  update();
  window.scrollTo(0, 0);
  element.querySelector("h1")?.focus({ preventScroll: true });
});
update();
