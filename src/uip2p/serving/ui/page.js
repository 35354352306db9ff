// The theme, keys, and pasting: what no component does. Runs before the page is there.
const THEME = "uip2p-theme";
const address = new URL(location.href);
const kept = localStorage.getItem(THEME);
if (kept && !address.searchParams.has("__theme")) {
  address.searchParams.set("__theme", kept); // Gradio reads it there; without it, it follows the system
  history.replaceState(null, "", address);
}
document.documentElement.lang = "en";

document.addEventListener("click", (event) => {
  if (!event.target.closest("#u-theme")) return;
  const dark = document.body.classList.toggle("dark");
  localStorage.setItem(THEME, dark ? "dark" : "light");
});

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
