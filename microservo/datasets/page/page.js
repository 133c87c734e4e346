"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const kinds = [...new Set(data.services.flatMap((service) => [...service.bands, ...service.effects].map((each) => each.kind)))].sort();
  const hues = [8, 212, 40, 285, 150, 330, 185, 60, 255, 110, 20, 305];
  const colour = (kind, alpha) => `hsl(${hues[kinds.indexOf(kind) % hues.length]} 72% 52% / ${alpha})`;
  const scoreColours = [
    "hsl(24 90% 48%)", "hsl(280 45% 60%)", "hsl(160 60% 38%)", "hsl(340 65% 55%)",
    "hsl(205 80% 48%)", "hsl(52 90% 38%)", "hsl(100 50% 40%)", "hsl(245 60% 66%)",
  ];
  const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC");
  const host = document.getElementById("charts");
  const sync = uPlot.sync("run");
  let metric = data.metrics[0].key;
  let showScores = true;
  let charts = [];
  let range = { min: data.from, max: data.to };
  let following = false;

  const element = (tag, text, attributes = {}) => {
    const made = document.createElement(tag);
    made.textContent = text;
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  };
  const clock = (seconds) => new Date(seconds * 1e3).toISOString().slice(11, 19);
  const shown = (value) =>
    value == null ? "–" : Math.abs(value) >= 100 ? value.toFixed(0) : String(+value.toPrecision(3));

  const truthColour = (truth) => style({ anomalous: "--bad", masked: "--warn" }[truth]);
  const drawFaults = ({ bands, effects, truths }) => (plot) => {
    const { ctx, bbox } = plot;
    const pixel = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.font = `${11 * pixel}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    for (const band of bands) {
      const from = plot.valToPos(band.from, "x", true);
      const to = Math.max(plot.valToPos(band.to, "x", true), from + 2 * pixel);
      const root = band.role === "root_cause";
      ctx.fillStyle = colour(band.kind, root ? 0.34 : 0.13);
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
      if (!root) continue;
      if (ctx.measureText(band.kind).width + 8 * pixel > to - from) continue;
      ctx.fillStyle = style("--ink");
      ctx.fillText(band.kind, from + 4 * pixel, bbox.top + 8 * pixel);
    }
    const bar = (span, colour, top, height) => {
      const from = plot.valToPos(span.from, "x", true);
      ctx.fillStyle = colour;
      ctx.fillRect(from, top, Math.max(plot.valToPos(span.to, "x", true) - from, 2 * pixel), height);
    };
    for (const effect of effects) bar(effect, colour(effect.kind, 0.9), bbox.top + bbox.height - 7 * pixel, 7 * pixel);
    for (const stretch of truths) {
      if (stretch.truth !== "normal") bar(stretch, truthColour(stretch.truth), bbox.top, 5 * pixel);
    }
    ctx.restore();
  };

  const follow = (plot, scale) => {
    if (scale !== "x" || following) return;
    following = true;
    range = { min: plot.scales.x.min, max: plot.scales.x.max };
    charts.filter((other) => other !== plot).forEach((other) => other.setScale("x", range));
    following = false;
  };

  const options = (service, width, what) => {
    const axis = { stroke: style("--soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { show: false } };
    const points = { show: false };
    const algorithms = showScores ? Object.keys(service.scores) : [];
    return {
      width,
      height: 140,
      tzDate: utc,
      cursor: { sync: { key: sync.key }, drag: { x: true, y: false }, points: { size: 5 } },
      scales: {
        x: { auto: false, min: range.min, max: range.max },
        y: { range: (_plot, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.25] },
        ...Object.fromEntries(algorithms.map((name) => [name, { range: (_p, _l, high) => [0, (high || 1) * 1.25] }])),
      },
      axes: [
        { ...axis, space: 90, size: 26, values: (_plot, ticks) => ticks.map(clock) },
        { ...axis, size: 56, values: (_plot, ticks) => ticks.map(shown) },
        ...algorithms.slice(0, 1).map((name) => ({
          ...axis, scale: name, side: 1, size: 48, grid: { show: false }, values: (_plot, ticks) => ticks.map(shown),
        })),
      ],
      series: [
        { label: "UTC", value: (_plot, at) => (at == null ? "–" : clock(at)) },
        { label: what.label, stroke: style("--metric"), width: 1.5, points, value: (_plot, value) => shown(value) },
        ...algorithms.map((name, index) => ({
          label: `score ${name}`, scale: name, stroke: scoreColours[index % scoreColours.length], width: 1, points,
          dash: index ? [4, 3] : undefined, value: (_plot, value) => shown(value),
        })),
      ],
      hooks: { drawClear: [drawFaults(service)], setScale: [follow] },
    };
  };

  const draw = () => {
    charts.forEach((plot) => plot.destroy());
    charts = [];
    host.replaceChildren();
    const what = data.metrics.find((each) => each.key === metric);
    charts = data.services.map((service) => {
      const card = element("article", "", { class: "chart" });
      const title = element("h3", service.name);
      title.append(element("small", service.note));
      card.append(title);
      host.append(card);
      const columns = [service.x, service.metrics[metric], ...(showScores ? Object.values(service.scores) : [])];
      return new uPlot(options(service, card.clientWidth - 18, what), columns, card);
    });
  };

  const buttons = data.metrics.map((each) => {
    const button = element("button", each.label, { type: "button" });
    button.addEventListener("click", () => { metric = each.key; press(); draw(); });
    return button;
  });
  const press = () =>
    buttons.forEach((button, index) => button.setAttribute("aria-pressed", data.metrics[index].key === metric));
  document.getElementById("metrics").append(...buttons);
  document.getElementById("scores").addEventListener("change", (event) => {
    showScores = event.target.checked;
    draw();
  });
  document.getElementById("whole").addEventListener("click", () => {
    charts[0]?.setScale("x", { min: data.from, max: data.to });
  });
  document.getElementById("kinds").append(...kinds.map((kind) => {
    const entry = element("span", "");
    const swatch = element("i", "");
    swatch.style.background = colour(kind, 0.8);
    entry.append(swatch, kind);
    return entry;
  }));
  let resized = 0;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(draw, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  press();
  draw();
})();
