// Without this the page can be read as well: a click on a column's head sorts it, a click on a picture enlarges it.
for (const table of document.querySelectorAll("table.figures")) {
  const body = table.tBodies[0], given = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.disabled = false;
    button.addEventListener("click", () => {
      const now = head.ariaSort, next = now === "ascending" ? "descending" : now === "descending" ? "none" : "ascending";
      for (const other of table.tHead.rows[0].cells) other.ariaSort = "none";
      head.ariaSort = next;
      const value = row => parseFloat(row.cells[column].dataset.value ?? "NaN"), sign = next === "ascending" ? 1 : -1;
      const sorted = next === "none" ? given : [...given].sort((a, b) =>
        isNaN(value(a)) - isNaN(value(b)) || sign * (value(a) - value(b)) || 0);
      body.append(...sorted);
    });
  });
}
const dialog = document.querySelector("dialog");
for (const picture of document.querySelectorAll("main img")) {
  picture.addEventListener("click", () => {
    const copy = picture.cloneNode();
    dialog.replaceChildren(copy, Object.assign(document.createElement("p"), {textContent: picture.alt}));
    dialog.showModal();
  });
}
dialog.addEventListener("click", () => dialog.close());
