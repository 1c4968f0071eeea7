// Warns two minutes before the session ends and lets the person stay (WCAG 2.2.1); without script the server simply
// asks for a new log-in.
(() => {
  "use strict";
  const body = document.body;
  const warning = document.getElementById("session-warning");
  if (!body.dataset.sessionEnds || !warning) return;

  const WARN_SECONDS = 120;
  const loadedAt = Date.now();
  const idleLimit = Math.max(0, Date.parse(body.dataset.sessionEnds) - loadedAt);
  let endsAt = loadedAt + idleLimit;
  const countdown = warning.querySelector("[data-countdown]");

  const tick = () => {
    const left = Math.round((endsAt - Date.now()) / 1000);
    if (left <= 0) {
      location.assign("/login?ended=1");
      return;
    }
    const show = left <= WARN_SECONDS;
    if (show) countdown.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (warning.hidden === show) warning.hidden = !show;
  };

  const extended = () => {
    endsAt = Date.now() + idleLimit;
    warning.hidden = true;
  };

  warning.querySelector("[data-extend]").addEventListener("click", async () => {
    const answer = await fetch("/session/extend", {
      method: "POST",
      headers: { "X-CSRF-Token": body.dataset.csrf, "HX-Request": "true" },
    });
    if (answer.ok) extended();
    else location.assign("/login?ended=1");
  });

  // Any request a person caused moves the idle limit on the server too.
  document.addEventListener("htmx:after:request", (event) => {
    const ctx = event.detail && event.detail.ctx;
    const headers = (ctx && ctx.request && ctx.request.headers) || {};
    if (ctx && ctx.response && ctx.response.status < 400 && headers["VW-Background"] !== "true") extended();
  });

  setInterval(tick, 1000);
})();
