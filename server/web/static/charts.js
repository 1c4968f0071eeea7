// Draws the fortnight of readings on canvas (uPlot). Every drawing has a table twin in the page; without script the
// table alone is there.
(() => {
  "use strict";
  if (typeof uPlot === "undefined") return;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const drawn = new Map();

  const band = (u, low, high, colour) => {
    const { ctx, bbox } = u;
    const top = Math.max(u.valToPos(high, "y", true), bbox.top);
    const bottom = Math.min(u.valToPos(low, "y", true), bbox.top + bbox.height);
    if (bottom <= top) return;
    ctx.fillStyle = colour;
    ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
  };

  const rule = (u, value, colour) => {
    const { ctx, bbox } = u;
    const y = Math.round(u.valToPos(value, "y", true)) + 0.5;
    if (y < bbox.top || y > bbox.top + bbox.height) return;
    ctx.strokeStyle = colour;
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
  };

  const dot = (u, x, y, size, colour, hollow) => {
    const { ctx } = u;
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.strokeStyle = ctx.fillStyle = colour;
    ctx.beginPath();
    if (hollow) {
      ctx.moveTo(x - size, y - size);
      ctx.lineTo(x + size, y + size);
      ctx.moveTo(x + size, y - size);
      ctx.lineTo(x - size, y + size);
      ctx.stroke();
    } else {
      ctx.arc(x, y, size, 0, 2 * Math.PI);
      ctx.fill();
    }
  };

  // The whole label where it fits on one side of its line, else its beginning.
  const fitted = (ctx, text, room) => {
    let cut = text;
    while (cut.length > 1 && ctx.measureText(cut).width > room) cut = `${cut.slice(0, -2).trimEnd()}…`;
    return cut;
  };

  const changes = (u, list) => {
    const { ctx, bbox } = u;
    for (const change of list) {
      const x = Math.round(u.valToPos(change.t, "x", true)) + 0.5;
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = style("--accent");
      ctx.lineWidth = devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillStyle = style("--accent");
      ctx.font = `${11 * devicePixelRatio}px ${style("--font")}`;
      ctx.textAlign = "left";
      const before = x - bbox.left;
      const after = bbox.left + bbox.width - x;
      const label = fitted(ctx, change.label, Math.max(before, after) - 6);
      const left = after >= before ? x + 4 : x - ctx.measureText(label).width - 4;
      ctx.fillText(label, left, bbox.top + 11 * devicePixelRatio);
    }
  };

  const pressure = (values) => ({
    range: [40, 220],
    before: (u) => {
      band(u, 180, 240, style("--band-severe"));
      band(u, 135, 180, style("--band-high"));
      rule(u, 180, style("--p1"));
      rule(u, 120, style("--p1"));
    },
    after: (u) => {
      const { ctx } = u;
      for (const point of values.points) {
        if (point.sys === null || point.dia === null) continue;
        const x = u.valToPos(point.t, "x", true);
        const top = u.valToPos(point.sys, "y", true);
        const bottom = u.valToPos(point.dia, "y", true);
        const colour = point.ok ? style("--ink") : style("--muted");
        if (point.ok) {
          ctx.strokeStyle = colour;
          ctx.lineWidth = 2 * devicePixelRatio;
          ctx.beginPath();
          ctx.moveTo(x, top);
          ctx.lineTo(x, bottom);
          ctx.stroke();
        }
        dot(u, x, top, 3 * devicePixelRatio, colour, !point.ok);
        dot(u, x, bottom, 3 * devicePixelRatio, colour, !point.ok);
      }
      for (const key of ["sys", "dia"]) {
        ctx.strokeStyle = style("--accent");
        ctx.lineWidth = 2 * devicePixelRatio;
        ctx.beginPath();
        values.mean.forEach((point, index) => {
          const x = u.valToPos(point.t, "x", true);
          const y = u.valToPos(point[key], "y", true);
          if (index) ctx.lineTo(x, y);
          else ctx.moveTo(x, y);
        });
        ctx.stroke();
      }
      changes(u, values.changes);
    },
    top: Math.max(200, ...values.points.map((point) => (point.sys || 0) + 12)),
    bottom: Math.min(50, ...values.points.map((point) => (point.dia === null ? 50 : point.dia - 8))),
  });

  const glucose = (values) => ({
    before: (u) => {
      band(u, 70, 180, style("--band-good"));
      rule(u, 54, style("--p1"));
      rule(u, 300, style("--p1"));
    },
    after: (u) => {
      for (const point of values.points) {
        if (point.v === null) continue;
        const x = u.valToPos(point.t, "x", true);
        const y = u.valToPos(point.v, "y", true);
        dot(u, x, y, 3.5 * devicePixelRatio, point.ok ? style("--ink") : style("--muted"), !point.ok);
      }
    },
    top: Math.max(320, ...values.points.map((point) => (point.v || 0) + 15)),
    bottom: 30,
  });

  const draw = (place) => {
    const values = JSON.parse(place.dataset.values);
    const kind = place.dataset.chart === "pressure" ? pressure(values) : glucose(values);
    const text = style("--muted");
    const axis = { stroke: text, grid: { stroke: style("--line"), width: 1 }, ticks: { show: false }, font: `12px ${style("--font")}` };
    const day = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", timeZone: values.zone });
    const chart = new uPlot(
      {
        width: place.clientWidth,
        height: 190,
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: true, range: [values.from, values.to] }, y: { range: [kind.bottom, kind.top] } },
        axes: [
          { ...axis, size: 24, space: 60, values: (_u, ticks) => ticks.map((tick) => day.format(tick * 1000)), incrs: [86400, 172800, 345600, 604800] },
          { ...axis, size: 38 },
        ],
        series: [{}, { show: true, stroke: "transparent", points: { show: false } }],
        hooks: { drawClear: [kind.before], draw: [kind.after] },
      },
      [[values.from, values.to], [null, null]],
      place,
    );
    drawn.set(place, chart);
  };

  const drawAll = () => {
    for (const place of drawn.keys()) if (!place.isConnected) drawn.delete(place);
    for (const place of document.querySelectorAll("[data-chart]")) if (!drawn.has(place)) draw(place);
  };

  addEventListener("resize", () => {
    for (const [place, chart] of drawn) chart.setSize({ width: place.clientWidth, height: 190 });
  });
  document.addEventListener("htmx:after:swap", drawAll);
  drawAll();
})();
