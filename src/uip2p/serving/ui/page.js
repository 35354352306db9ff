// The theme, keys, and pasting: what no component does.
document.documentElement.lang = "en";

// Light or dark as the system has it, unless someone has chosen; Gradio sets the class by the system.
const THEME = "uip2p-theme";
function wear() {
  const kept = localStorage.getItem(THEME);
  if (kept) document.body.classList.toggle("dark", kept === "dark");
}
document.addEventListener("click", (event) => {
  if (!event.target.closest("#u-theme")) return;
  localStorage.setItem(THEME, document.body.classList.contains("dark") ? "light" : "dark");
  wear();
});
function dress() {
  new MutationObserver(wear).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  wear();
}
if (document.body) dress();
else document.addEventListener("DOMContentLoaded", dress);

// The slider's pictures, which Gradio leaves without a text.
new MutationObserver(() => {
  document.querySelectorAll("#u-compare img").forEach((picture, index) => {
    const text = index ? "After the edit" : "Before the edit";
    if (picture.alt !== text) picture.alt = text;
  });
}).observe(document.documentElement, { childList: true, subtree: true });

// What has just been made is seen: an edit, a word's attention, an upload that is offered. On a phone one would be far
// below it. Each part comes on its own, so we wait until they rest.
let seen = null, resting = 0;
function reveal() {
  const current = document.querySelector("#u-history [aria-current]");
  const word = document.querySelector('#u-words [aria-pressed="true"]');
  const shown = ["#u-upload", "#u-compare", "#u-stage"].map((name) => document.querySelector(name)).find((e) => e?.offsetHeight);
  if (!shown) return;
  const now = [current?.dataset.value, word?.dataset.value, shown.id === "u-upload"].join();
  const first = seen === null;
  if (now === seen) return;
  seen = now;
  const { top, bottom } = shown.getBoundingClientRect();
  if (first || (top >= 0 && bottom <= innerHeight)) return;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  scrollTo({ top: Math.max(0, scrollY + top - 8), behavior: still ? "instant" : "smooth" });
}
new MutationObserver(() => {
  clearTimeout(resting);
  resting = setTimeout(reveal, 120);
}).observe(document.documentElement, { childList: true, subtree: true, attributes: true, attributeFilter: ["class", "style"] });

const writes = (element) => element.closest?.("input, textarea, [contenteditable]") !== null;
document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || writes(event.target)) return;
  const key = event.key.toLowerCase();
  const name = key === "y" || (key === "z" && event.shiftKey) ? "u-redo" : key === "z" ? "u-undo" : null;
  const button = name && document.getElementById(name);
  if (!button) return;
  event.preventDefault();
  button.click();
});

// A picture that is pasted anywhere goes where a file would.
document.addEventListener("paste", (event) => {
  const picture = [...(event.clipboardData?.files ?? [])].find((file) => file.type.startsWith("image/"));
  const input = document.querySelector("#u-upload input[type=file]");
  if (!picture || !input) return;
  event.preventDefault();
  const carrier = new DataTransfer();
  carrier.items.add(picture);
  input.files = carrier.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
});
