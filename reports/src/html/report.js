"use strict";
// One cursor for all plots of a seed: where the pointer stands in one of them, a line stands in all, and the values are told
// on top. Without this script nothing is missing but that.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const scales = {
    seconds: [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"], [1e-3, "ms"]],
    bytes: [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"], [1, "B"]],
    bytes_per_second: [[1e9, "GB/s"], [1e6, "MB/s"], [1e3, "kB/s"], [1, "B/s"]],
    bits_per_second: [[1e9, "Gbit/s"], [1e6, "Mbit/s"], [1e3, "kbit/s"], [1, "bit/s"]],
    per_second: [[1, "/s"]],
  };
  const show = (value, unit) => {
    if (unit === "fraction") return (value * 100).toPrecision(3) + "%";
    const all = scales[unit] || [[1, ""]];
    const found = all.find(([size]) => Math.abs(value) >= size) || all[all.length - 1];
    return value === 0 ? "0" : Number((value / found[0]).toPrecision(3)) + found[1];
  };
  const two = (n) => String(n).padStart(2, "0");
  const clock = (svg, at) => {
    const [day, time] = svg.dataset.clock.startsWith("day ")
      ? [Number(svg.dataset.clock.split(" ")[1]), svg.dataset.clock.split(" ")[2]]
      : [0, svg.dataset.clock];
    const [h, m, s] = time.split(":").map(Number);
    const t = Math.floor(h * 3600 + m * 60 + s + at);
    const text = two(Math.floor(t / 3600) % 24) + ":" + two(Math.floor(t / 60) % 60) + ":" + two(t % 60);
    return day ? "day " + (day + Math.floor(t / 86400)) + " " + text : text;
  };
  // The value at an instant: of steps the last one, of lines what lies between. Outside of a line there is none.
  const valueAt = (track, at) => {
    const p = track.points;
    let low = 0, high = p.length;
    while (low < high) {
      const mid = (low + high) >> 1;
      if (p[mid][0] <= at) low = mid + 1; else high = mid;
    }
    if (low === 0) return null;
    const before = p[low - 1];
    if (track.step) return before[1];
    if (low === p.length) return before[0] === at ? before[1] : null;
    const after = p[low];
    const span = after[0] - before[0];
    return span > 0 ? before[1] + (after[1] - before[1]) * (at - before[0]) / span : after[1];
  };
  for (const seed of document.querySelectorAll("details.seed")) {
    const readout = seed.querySelector(".readout");
    const plots = [...seed.querySelectorAll("svg.plot")].map((svg) => {
      const data = svg.closest("figure").querySelector("script.data");
      const line = document.createElementNS(NS, "line");
      line.setAttribute("class", "cursor");
      line.setAttribute("y1", "4");
      line.setAttribute("y2", String(svg.viewBox.baseVal.height - 24));
      line.setAttribute("visibility", "hidden");
      svg.append(line);
      return { svg, line, data: data ? JSON.parse(data.textContent) : null };
    });
    let now = null;
    const move = (plot, at) => {
      now = at;
      for (const { svg, line } of plots) {
        const left = Number(svg.dataset.left), right = Number(svg.dataset.right);
        const x = left + (right - left) * at / Number(svg.dataset.end);
        line.setAttribute("x1", x);
        line.setAttribute("x2", x);
        line.setAttribute("visibility", "visible");
      }
      const parts = [clock(plot.svg, at)];
      for (const track of plot.data ? plot.data.tracks : []) {
        const value = valueAt(track, at);
        if (value !== null) parts.push(track.name + " " + show(value, plot.data.unit));
      }
      readout.textContent = parts.join("   ·   ");
    };
    const leave = () => {
      now = null;
      readout.textContent = "";
      for (const { line } of plots) line.setAttribute("visibility", "hidden");
    };
    for (const plot of plots) {
      const { svg } = plot;
      const end = Number(svg.dataset.end);
      svg.addEventListener("pointermove", (event) => {
        const box = svg.getBoundingClientRect();
        const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width;
        const left = Number(svg.dataset.left), right = Number(svg.dataset.right);
        move(plot, Math.min(1, Math.max(0, (x - left) / (right - left))) * end);
      });
      svg.addEventListener("pointerleave", leave);
      svg.addEventListener("blur", leave);
      svg.addEventListener("keydown", (event) => {
        const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
        if (!step) return;
        event.preventDefault();
        move(plot, Math.min(end, Math.max(0, (now === null ? 0 : now) + step * end / 200)));
      });
    }
  }
  // A link into a seed that is closed opens it; so does printing.
  const reveal = () => {
    const id = location.hash.slice(1);
    const target = id && document.getElementById(id);
    const seed = target && target.closest("details");
    if (seed && !seed.open) {
      seed.open = true;
      target.scrollIntoView({ block: "center" });
    }
  };
  addEventListener("hashchange", reveal);
  reveal();
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details.table")) one.open = true;
  });
})();
