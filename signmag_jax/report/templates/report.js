"use strict";
// Without this script every row is there, in reading order; it only hides, sorts and unfolds.
const families = [...document.querySelectorAll("details.family")];
const filters = [...document.querySelectorAll("nav button")];

for (const button of filters) {
  button.addEventListener("click", () => {
    const wanted = button.dataset.verdict;
    filters.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
    for (const family of families) {
      const rows = [...family.querySelectorAll("tbody tr")];
      rows.forEach((row) => { row.hidden = Boolean(wanted) && row.dataset.verdict !== wanted; });
      family.hidden = rows.every((row) => row.hidden);
      family.open = Boolean(wanted) && !family.hidden;
    }
  });
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = head.closest("table").tBodies[0];
    const falling = head.getAttribute("aria-sort") === "ascending";
    const key = (row) => row.cells[head.cellIndex].dataset.key;
    const value = (row) => (button.dataset.numeric ? parseFloat(key(row)) : key(row));
    const missing = (one) => Number.isNaN(one);
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (missing(x) || missing(y)) return missing(x) - missing(y); // what has no number stands last
      return (x > y) - (x < y) && ((x > y) === falling ? -1 : 1);
    };
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    body.append(...[...body.rows].sort(order));
  });
}

addEventListener("beforeprint", () => families.forEach((family) => { family.open = true; }));
