// The live worklist: hints arrive over Server-Sent Events, the page asks for the rows itself. Says when it is not live,
// and asks every 30 s while the stream is silent. Decides where the focus goes after an act.
(() => {
  "use strict";
  const rows = () => document.getElementById("rows");
  const liveness = document.getElementById("liveness");

  // --- focus: after an act the next row's Claim, so that nobody hunts for the place -------------------------------
  let acted = null;
  const order = () => [...document.querySelectorAll("#rows .row")].map((row) => row.dataset.alert);

  document.addEventListener("htmx:before:request", (event) => {
    const form = event.target.closest && event.target.closest("form[data-act]");
    if (form) acted = { alert: form.dataset.alert, order: order() };
  });

  const focusNext = () => {
    if (!acted) return;
    const { alert, order: before } = acted;
    acted = null;
    const after = before.slice(before.indexOf(alert) + 1);
    const candidates = [...after, ...before.slice(0, Math.max(before.indexOf(alert), 0))];
    for (const id of candidates) {
      const claim = document.getElementById(`claim-${id}`);
      if (claim) return claim.focus();
    }
    const open = document.getElementById(`open-${alert}`) || document.querySelector("#rows .row-name");
    (open || document.getElementById("main")).focus();
  };

  document.addEventListener("htmx:finally:request", () => {
    if (acted) requestAnimationFrame(focusNext);
  });

  // --- the selected row -------------------------------------------------------------------------------------------
  const selected = () => {
    const patient = document.querySelector("#panel .patient[data-alert]");
    return patient ? patient.dataset.alert : null;
  };
  const markSelected = () => {
    const id = selected();
    for (const row of document.querySelectorAll("#rows .row")) {
      const is = row.dataset.alert === id;
      row.classList.toggle("selected", is);
      const link = row.querySelector(".row-name");
      if (is) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };

  // --- arrivals are said aloud: critical at once, others when there is a pause --------------------------------------
  let known = new Set(order());
  const announce = () => {
    const now = order();
    for (const row of document.querySelectorAll("#rows .row")) {
      if (known.has(row.dataset.alert)) continue;
      row.classList.add("arrived");
      const place = row.dataset.severity === "P1" ? "announce-critical" : "announce";
      document.getElementById(place).textContent = row.dataset.announce;
    }
    known = new Set(now);
  };

  document.addEventListener("htmx:after:swap", (event) => {
    if (rows()) {
      announce();
      markSelected();
    }
    const source = event.target;
    if (source.classList && source.classList.contains("row-name")) {
      const title = document.getElementById("panel-title");
      if (!title) return;
      title.focus({ preventScroll: true });
      // On a narrow screen the panel is below the list: bring its beginning up.
      if (!matchMedia("(min-width: 60rem)").matches) document.getElementById("panel").scrollIntoView();
    }
  });

  if (!rows() || !liveness) return;

  // --- the stream ---------------------------------------------------------------------------------------------------
  const QUIET_MS = 45_000;
  const POLL_MS = 30_000;
  const SPACING_MS = 250; // a burst of hints becomes one question
  let heardAt = Date.now();
  let askedAt = 0;
  let pending = null;

  const refresh = () => {
    if (pending) return;
    const wait = Math.max(0, askedAt + SPACING_MS - Date.now());
    pending = setTimeout(() => {
      pending = null;
      askedAt = Date.now();
      rows().dispatchEvent(new CustomEvent("vw:refresh"));
    }, wait);
  };

  const show = (live) => {
    liveness.hidden = false;
    liveness.classList.toggle("stale", !live);
    const text = live ? "Live" : "Not live: asking every 30 s";
    const place = liveness.querySelector("[data-text]");
    if (place.textContent !== text) place.textContent = text;
  };

  const heard = () => {
    heardAt = Date.now();
    show(true);
  };

  // EventSource hides comments, so the stream itself is read: a comment is the proof that the line is alive.
  let lastId = null;
  const listen = async () => {
    for (;;) {
      try {
        const headers = lastId ? { "Last-Event-ID": lastId } : {};
        const answer = await fetch(liveness.dataset.events, { headers, redirect: "error", cache: "no-store" });
        if (!answer.ok) throw new Error("refused");
        await read(answer.body.pipeThrough(new TextDecoderStream()).getReader());
      } catch {
        // the pause below is the answer to every kind of loss
      }
      if (Date.now() - heardAt > 5000) show(false);
      await new Promise((done) => setTimeout(done, 2000));
    }
  };

  const read = async (reader) => {
    let buffer = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      buffer += value;
      const blocks = buffer.split("\n\n");
      buffer = blocks.pop();
      blocks.forEach(take);
    }
  };

  const take = (block) => {
    const fields = Object.fromEntries(
      block.split("\n").filter((line) => !line.startsWith(":")).map((line) => {
        const at = line.indexOf(": ");
        return [line.slice(0, at), line.slice(at + 2)];
      }),
    );
    if (fields.id) lastId = fields.id;
    if (fields.event !== "hint") return;
    const hint = JSON.parse(fields.data);
    if (hint.kind === "session-ended") location.assign("/login?ended=1");
    else if (hint.kind === "alert" || hint.kind === "refresh") refresh();
  };

  setInterval(() => {
    const quiet = Date.now() - heardAt > QUIET_MS;
    if (quiet) show(false);
    // Ages and clocks on the rows move on even when nothing happens.
    if (Date.now() - askedAt > POLL_MS && document.visibilityState === "visible") refresh();
  }, 5000);

  askedAt = Date.now();
  listen();
})();
