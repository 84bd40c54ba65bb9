// Conveniences only: every page works without this file.
"use strict";

// Fields that belong to one choice are hidden until it is made.
for (const part of document.querySelectorAll("[data-only]")) {
  const [name, value] = part.dataset.only.split("=");
  const control = part.closest("form").elements[name];
  const show = () => { part.hidden = control.value !== value; };
  control.addEventListener("change", show);
  show();
}

// j and k move through a table's rows, as the arrow keys do in many queues.
document.addEventListener("keydown", (event) => {
  const busy = event.target.closest("input, textarea, select");
  if (busy || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key !== "j" && event.key !== "k") return;
  const links = [...document.querySelectorAll("[data-keys] tbody a")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = event.key === "j" ? at + 1 : at - 1;
  links[Math.min(Math.max(next, 0), links.length - 1)].focus();
});
