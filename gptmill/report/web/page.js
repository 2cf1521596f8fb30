// Draws the figures that the page holds as JSON; colours are the page's own, so charts follow it from light to dark.
"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const narrow = () => window.innerWidth < 640;
const chosen = {};

function coloured(value, key) {
  const page = getComputedStyle(document.documentElement);
  const colour = (name) => page.getPropertyValue(name).trim();
  if (key === "colorscale") return [[0, colour("--heat0")], [0.5, colour("--heat1")], [1, colour("--heat2")]];
  if (typeof value === "string") return /color$/.test(key) && value.startsWith("--") ? colour(value) : value;
  if (Array.isArray(value)) return value.map((item) => (item && typeof item === "object" ? coloured(item, key) : item));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, coloured(item, name)]));
}

function height(rows) {
  return Math.max(180, Math.min(1600, 80 + 15 * rows));
}

// Rows as an axis names them: every second, third, ... where they are thin, and on a narrow page the end of each name.
function rowNames(figure) {
  const every = Math.ceil((12 * figure.rows) / (height(figure.rows) - 80));
  const names = figure.data[0].y.filter((_, n) => n % every === 0);
  const short = (name) => { const part = name.replace(/^blocks\.|\.weight$/g, ""); return part.length > 24 ? `…${part.slice(-23)}` : part; };
  return { showgrid: false, tickmode: "array", tickvals: names, ticktext: narrow() ? names.map(short) : names, tickfont: { size: narrow() ? 9 : 10 } };
}

function layout(name) {
  const figure = figures[name], given = figure.layout, axis = figure.axes && figure.axes[chosen[name]];
  const lines = { gridcolor: "--grid", zerolinecolor: "--grid", linecolor: "--soft", automargin: true, exponentformat: "B", separatethousands: true };
  const rows = figure.rows, several = figure.data.length > 1 && figure.legend !== false;
  return coloured({
    ...given,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif", size: 12, color: "--soft" },
    margin: { l: 8, r: 8, t: several ? 28 : 8, b: 8 },
    showlegend: several,
    legend: { orientation: "h", x: 0, y: 1.0, yanchor: "bottom", font: { color: "--ink" }, bgcolor: "rgba(0,0,0,0)" },
    hoverlabel: { align: "left" },
    xaxis: { ...lines, showgrid: false, zeroline: false, ticks: "outside", tickcolor: "--soft", ...(rows ? {} : { rangemode: "tozero" }), ...given.xaxis, ...(axis ? { title: { text: axis.title } } : {}), nticks: narrow() ? 5 : 9 },
    yaxis: { ...lines, showline: false, nticks: 6, ...given.yaxis, ...(rows ? rowNames(figure) : {}) },
  }, "");
}

function traces(name) {
  const figure = figures[name], axis = figure.axes && figure.axes[chosen[name]];
  return figure.data.map((trace, n) => {
    const drawn = coloured(axis ? { ...trace, x: axis.x[n] } : trace, "");
    const lying = { orientation: "h", x: 0.5, xanchor: "center", y: 1, yanchor: "bottom" };
    if (drawn.colorbar) Object.assign(drawn.colorbar, { thickness: 10, outlinewidth: 0, len: 1, title: { ...drawn.colorbar.title, side: narrow() ? "top" : "right" } }, narrow() ? lying : {});
    return drawn;
  });
}

function draw(name) {
  const at = document.getElementById(`chart-${name}`);
  if (figures[name].rows) at.style.height = `${height(figures[name].rows)}px`;
  else at.style.height = `calc(var(--height) + ${20 * Math.max(0, Math.ceil((110 * figures[name].data.length) / window.innerWidth) - 2)}px)`; // of many names
  return Plotly.react(at, traces(name), layout(name), { displayModeBar: false, responsive: true });
}

function redraw() {
  return Promise.all(Object.keys(figures).map(draw));
}

for (const button of document.querySelectorAll("button[data-axis]")) {
  button.addEventListener("click", () => {
    chosen[button.dataset.figure] = button.dataset.axis;
    for (const other of button.parentNode.querySelectorAll("button")) other.setAttribute("aria-pressed", other === button);
    draw(button.dataset.figure);
  });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
matchMedia("(max-width: 639px)").addEventListener("change", redraw);
redraw().then(() => { document.documentElement.dataset.drawn = Object.keys(figures).length; });
