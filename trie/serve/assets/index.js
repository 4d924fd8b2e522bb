"use strict";
// Loads the rows of the index again and again, and keeps what is ticked.
const body = document.querySelector("tbody");
const button = document.querySelector("button");
const status = document.querySelector("#status");
const ticked = () => new Set([...document.querySelectorAll("input:checked")].map((box) => box.value));

function count() {
  const number = ticked().size;
  button.disabled = number < 2;
  button.textContent = number < 2 ? "Compare (tick two or more)" : `Compare ${number}`;
}

async function refresh() {
  try {
    const answer = await fetch("rows", { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    const kept = ticked();
    const focused = document.activeElement && document.activeElement.value;
    const rows = new DOMParser().parseFromString(`<table>${await answer.text()}</table>`, "text/html");
    body.replaceChildren(...rows.querySelectorAll("tr"));
    for (const box of body.querySelectorAll("input")) {
      box.checked = kept.has(box.value);
      if (box.value === focused) box.focus();
    }
    status.textContent = "";
    count();
  } catch {
    status.textContent = "trie serve has ended: these are the rows it had last";
  }
  setTimeout(refresh, body.querySelector(".running") ? 2000 : 10000);
}

document.addEventListener("change", count);
count();
setTimeout(refresh, 2000);
