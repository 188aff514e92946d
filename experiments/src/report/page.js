// Headings become buttons that sort, commands get a button that copies them. Without this script the page lacks only that.
"use strict";

// A number where the cell is one or stands for one, its text otherwise; what is not there comes last either way.
function sortKey(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  if (text === "" || text === "-") return { rank: 2, value: 0 };
  const number = text === "-inf" ? -Infinity : Number(text);
  return Number.isNaN(number) ? { rank: 1, value: text } : { rank: 0, value: number };
}

function compare(left, right) {
  if (typeof left === "string") return left.localeCompare(right, "en");
  return left < right ? -1 : left > right ? 1 : 0;
}

// Once up, once down, then as it was.
const NEXT = { none: "ascending", ascending: "descending", descending: "none" };

function sort(table, heading, column) {
  const direction = NEXT[heading.getAttribute("aria-sort") ?? "none"];
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  if (direction !== "none") heading.setAttribute("aria-sort", direction);
  const sign = direction === "descending" ? -1 : 1;
  for (const body of table.tBodies) {
    const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
    const keyed = rows.map((row) => ({ row, place: Number(row.dataset.place), key: sortKey(row, column) }));
    keyed.sort((left, right) => {
      const byKey = left.key.rank - right.key.rank || sign * compare(left.key.value, right.key.value);
      return (direction !== "none" && byKey) || left.place - right.place;
    });
    body.append(...keyed.map(({ row }) => row));
  }
}

for (const table of document.querySelectorAll("table")) {
  for (const body of table.tBodies) {
    [...body.rows].forEach((row, place) => { row.dataset.place = place; });
  }
  const headings = table.tHead.rows[table.tHead.rows.length - 1].cells;
  [...headings].forEach((heading, column) => {
    const name = heading.querySelector(".name");
    if (!name?.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...name.childNodes);
    name.append(button);
    button.addEventListener("click", () => sort(table, heading, column));
  });
}

for (const command of document.querySelectorAll(".command")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "copy";
  button.addEventListener("click", async () => {
    const code = command.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "copied";
    } catch {
      // No clipboard for this page: the line is marked, so that one key copies it.
      getSelection().selectAllChildren(code);
      button.textContent = "marked";
    }
    setTimeout(() => { button.textContent = "copy"; }, 1500);
  });
  command.append(button);
}
