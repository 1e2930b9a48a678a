"use strict";
// A click on a heading sorts its table: numbers by value, other cells as words; empty ones stay last.
const words = new Intl.Collator("en", { numeric: true });
const number = /^[+\-−]?\d+(\.\d+)?/;
function compare(a, b) {
  const x = a.match(number), y = b.match(number);
  return x && y && x[0] !== y[0] ? parseFloat(x[0].replace("−", "-")) - parseFloat(y[0].replace("−", "-")) : words.compare(a, b);
}
for (const head of document.querySelectorAll("thead th")) {
  if (!head.textContent) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const rows = Array.from(body.rows, (row) => [row.cells[head.cellIndex].textContent.trim(), row]);
    rows.sort(([a], [b]) => (a && b ? (down ? compare(b, a) : compare(a, b)) : (b ? 1 : 0) - (a ? 1 : 0)));
    body.append(...rows.map(([, row]) => row));
  });
}

// The filter shows the rows and runs that contain all of its words.
const input = document.getElementById("filter"), output = document.querySelector(".filter output");
const body = (e) => e.textContent.toLowerCase();
const rows = Array.from(document.querySelectorAll("section > .scroll tbody tr"), (e) => [e, body(e)]);
const runs = Array.from(document.querySelectorAll("article > details"), (e) => [e, body(e.closest("article").querySelector("h3")) + " " + body(e)]);
function filter() {
  const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const [e, text] of rows.concat(runs)) {
    e.hidden = !wanted.every((w) => text.includes(w));
    if (!e.hidden) shown++;
  }
  for (const e of document.querySelectorAll("section > .scroll, article"))
    e.hidden = wanted.length > 0 && !e.querySelector(e.localName === "article" ? "details[id]:not([hidden])" : "tbody tr:not([hidden])");
  for (const e of document.querySelectorAll("main > section > p:not(.hint), main > section > h3, main > section > figure")) e.hidden = wanted.length > 0;
  for (const e of document.querySelectorAll("main > section")) e.hidden = wanted.length > 0 && !e.querySelector(":scope > .scroll:not([hidden]), article:not([hidden])");
  hints();
  output.textContent = wanted.length ? shown + (shown === 1 ? " match" : " matches") : "";
}
input.addEventListener("input", filter);
filter();

// A table that is wider than its place says so.
function hints() {
  for (const e of document.querySelectorAll("div.scroll")) {
    const wide = e.scrollWidth > e.clientWidth + 1;
    let hint = e.previousElementSibling;
    if (!hint || !hint.classList.contains("hint")) {
      if (!wide) continue;
      hint = document.createElement("p");
      hint.className = "hint";
      hint.textContent = "scroll sideways for more columns \u2192";
      e.before(hint);
    }
    hint.hidden = !wide || e.hidden;
  }
}
addEventListener("resize", hints);
document.addEventListener("toggle", hints, true);

// A link to a run opens it.
function open() {
  const e = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (e && e.localName === "details") { e.open = true; e.scrollIntoView(); }
}
addEventListener("hashchange", open);
open();
hints();
