// Keys of the worklist. Single letters act only outside fields and can be switched off (WCAG 2.1.4).
(() => {
  "use strict";
  const dialog = document.getElementById("keys");
  if (!dialog) return;
  const toggle = document.getElementById("keys-on");
  const STORE = "vw-keys";

  const on = () => localStorage.getItem(STORE) !== "off";
  toggle.checked = on();
  toggle.addEventListener("change", () => localStorage.setItem(STORE, toggle.checked ? "on" : "off"));
  const help = document.querySelector("[data-keys-help]");
  help.hidden = false;
  help.addEventListener("click", () => dialog.showModal());

  const list = () => [...document.querySelectorAll("#rows .row")];
  const current = () => {
    const focused = document.activeElement && document.activeElement.closest("#rows .row");
    return focused || document.querySelector("#rows .row.selected");
  };

  const move = (step) => {
    const all = list();
    if (!all.length) return;
    const at = all.indexOf(current());
    const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), all.length - 1);
    all[next].querySelector(".row-name").focus();
    all[next].scrollIntoView({ block: "nearest" });
  };

  const claim = () => {
    const row = current();
    const button = row && row.querySelector(".claim");
    if (button) button.click();
  };

  const act = (key) => {
    const details = document.querySelector(`#panel details[data-key="${key}"]`);
    if (!details) return;
    details.open = true;
    details.querySelector("select, input:not([type=hidden]), textarea").focus();
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || dialog.open || !on()) return;
    if (event.target.closest("input, select, textarea, [contenteditable]")) return;
    const what = {
      j: () => move(1),
      k: () => move(-1),
      c: claim,
      l: () => act("l"),
      s: () => act("s"),
      x: () => act("x"),
      "/": () => location.assign("/patients"),
      "?": () => dialog.showModal(),
    }[event.key];
    if (!what) return;
    event.preventDefault();
    what();
  });
})();
