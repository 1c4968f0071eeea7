// The visible timer of the open panel. The server's clock counts; this page only says when the last input was, and what
// was typed so far. Two tabs, a closed lid or a crash therefore never add a second.
(() => {
  "use strict";
  const BEAT_MS = 15_000;
  const IDLE_MS = 120_000; // the server's cut-off; told at once so that the page shows the pause
  let lastInput = Date.now();
  let inputSinceBeat = true;
  let slot = null;
  let ticking = null;

  // What is being typed, saved with the next beat. Untouched fields say nothing, so they erase nothing.
  let typed = null;
  document.addEventListener("input", (event) => {
    if (event.target.matches("#panel textarea[data-draft]")) typed = event.target.value;
  });

  const post = async (path, values, { background = false, keepalive = false } = {}) => {
    const headers = { "X-CSRF-Token": document.body.dataset.csrf, "HX-Request": "true" };
    if (background) headers["VW-Background"] = "true";
    const answer = await fetch(path, { method: "POST", body: new URLSearchParams(values), headers, keepalive });
    if (answer.status === 401) location.assign("/login?ended=1");
    return answer.ok ? answer.text() : null;
  };

  const draw = (html, own) => {
    if (html === null || own !== slot || !own.isConnected) return;
    const focused = document.activeElement && own.contains(document.activeElement);
    own.innerHTML = html;
    if (focused) (own.querySelector("[data-turn], button, a") || own).focus();
    tick();
  };

  const patient = (own) => own.dataset.timer;

  const beat = async ({ hidden = false } = {}) => {
    const own = slot;
    if (!own || !own.querySelector("[data-clock]")) return;
    const idle = Math.floor((Date.now() - lastInput) / 1000);
    const background = hidden || !inputSinceBeat;
    inputSinceBeat = false;
    const values = { idle };
    if (typed !== null) values.note = typed;
    if (hidden) values.hidden = "true";
    typed = null;
    draw(await post(`/time/${patient(own)}/beat`, values, { background, keepalive: hidden }), own);
  };

  const start = async (own) => {
    draw(await post(`/time/${patient(own)}/start`, { alert: own.dataset.timerAlert }), own);
  };

  const tick = () => {
    clearInterval(ticking);
    const timer = slot && slot.querySelector(".timer[data-seconds]");
    if (!timer || timer.dataset.running !== "true") return;
    const clock = timer.querySelector("[data-clock]");
    const from = Date.now() - Number(timer.dataset.seconds) * 1000;
    ticking = setInterval(() => {
      const seconds = Math.floor((Date.now() - from) / 1000);
      const two = (value) => String(value).padStart(2, "0");
      const hours = Math.floor(seconds / 3600);
      const minutes = Math.floor(seconds / 60) % 60;
      clock.textContent = hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
      if (Date.now() - lastInput > IDLE_MS && timer.dataset.call !== "true") {
        clearInterval(ticking);
        beat();
      }
    }, 1000);
  };

  const adopt = () => {
    const found = document.querySelector("[data-timer]");
    if (found === slot) return;
    slot = found;
    clearInterval(ticking);
    if (slot) start(slot);
  };

  document.addEventListener("click", async (event) => {
    const own = slot;
    if (!own) return;
    const turn = event.target.closest("[data-turn]");
    if (turn) draw(await post(`/time/${patient(own)}/turn`, JSON.parse(turn.dataset.turn)), own);
    if (event.target.closest("[data-start-timer]")) start(own);
  });

  for (const kind of ["keydown", "pointerdown", "pointermove", "scroll", "input"]) {
    document.addEventListener(
      kind,
      () => {
        const wasIdle = Date.now() - lastInput > IDLE_MS;
        lastInput = Date.now();
        inputSinceBeat = true;
        if (wasIdle) beat();
      },
      { passive: true, capture: true },
    );
  }
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") beat({ hidden: true });
    else {
      lastInput = Date.now();
      inputSinceBeat = true;
      beat();
    }
  });
  document.addEventListener("htmx:after:swap", () => {
    // Once its field is gone the text has been sent, or belongs to the panel that was left.
    const fields = [...document.querySelectorAll("#panel textarea[data-draft]")];
    if (!fields.some((field) => field.value === typed)) typed = null;
    adopt();
  });
  setInterval(() => beat(), BEAT_MS);
  adopt();
})();
