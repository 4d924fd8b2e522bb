// What a page does beside being read: sorts tables, draws plots, zooms into them, saves them.
(() => {
  "use strict";
  const EXPORT = { width: 680, scale: 3 };
  const SHOWN_ROWS = 200; // of the table behind a plot; its CSV has all
  const NARROW = 560; // pixels, below which the entries of a legend stand one below the other
  const NEAR = "300px"; // from the window, where a plot is drawn
  const STEP = 0.25; // of the axis, that a key or a button zooms or pans by
  const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];
  const make = (name, attributes = {}, ...children) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  };

  // Tables ------------------------------------------------------------------------------------------------------------
  const sortKey = (cell) => (cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent.trim());
  const missing = (cell) => cell.dataset.value === undefined && cell.textContent.trim() === "-";

  function compare(a, b) {
    if (missing(a) || missing(b)) return { missing: missing(a) - missing(b) };
    const [x, y] = [sortKey(a), sortKey(b)];
    if (typeof x === "number" && typeof y === "number") return { by: x - y };
    return { by: String(x).localeCompare(String(y), undefined, { numeric: true }) };
  }

  function sortBy(table, at) {
    const heads = $$("thead th", table);
    const ascending = heads[at].getAttribute("aria-sort") !== "ascending";
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[at].setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = table.tBodies[0];
    const rows = [...body.rows].sort((a, b) => {
      const order = compare(a.cells[at], b.cells[at]);
      return order.missing ?? (ascending ? order.by : -order.by); // what was not measured stays last
    });
    body.append(...rows);
  }

  function sortable(table) {
    $$("thead th", table).forEach((head, at) => {
      const button = make("button", { type: "button" }, ...head.childNodes);
      button.addEventListener("click", () => sortBy(table, at));
      head.replaceChildren(button);
    });
  }

  // Columns that few ask for ------------------------------------------------------------------------------------------
  function foldable(table) {
    const names = $$("thead th.more", table).map((head) => head.textContent.trim()).join(", ");
    const button = make("button", { type: "button", className: "columns" });
    const show = () => (button.textContent = table.classList.contains("folded") ? `show ${names}` : `hide ${names}`);
    table.classList.add("folded");
    show();
    button.addEventListener("click", () => { table.classList.toggle("folded"); show(); });
    table.caption.append(button);
  }

  // What is under the pointer -----------------------------------------------------------------------------------------
  const hover = make("div", { className: "hover", hidden: true });
  hover.setAttribute("role", "tooltip");

  function showHover(_, event, item, value) {
    hover.hidden = value === null || value === undefined || value === "";
    if (hover.hidden) return;
    const pairs = typeof value === "object" ? Object.entries(value) : null;
    hover.replaceChildren(
      ...(pairs ? pairs.flatMap(([key, said]) => [make("span", {}, key), make("b", {}, String(said))]) : [make("i", {}, String(value))]),
    );
    const { width, height } = hover.getBoundingClientRect();
    const x = event.clientX + 14 + width > innerWidth ? event.clientX - 14 - width : event.clientX + 14;
    const y = event.clientY + 14 + height > innerHeight ? event.clientY - 14 - height : event.clientY + 14;
    hover.style.left = `${Math.max(4, x)}px`;
    hover.style.top = `${Math.max(4, y)}px`;
  }

  // Plots -------------------------------------------------------------------------------------------------------------
  const theme = JSON.parse(document.getElementById("theme").textContent);
  const drawn = new Map(); // figure -> {view, content, zoomed axes}
  const contents = new Map(); // figure -> what it draws, as the reader has chosen

  const rowsOf = (columns) => {
    const names = Object.keys(columns);
    return columns[names[0]].map((_, at) => Object.fromEntries(names.map((name) => [name, columns[name][at]])));
  };

  function specOf(content, more = {}) {
    const datasets = Object.fromEntries(Object.entries(content.data).map(([name, columns]) => [name, rowsOf(columns)]));
    return { ...content.spec, config: theme, datasets, ...more };
  }

  function draw(figure) {
    const chart = figure.querySelector(".chart");
    if (!chart || drawn.has(figure) || !chart.clientWidth) return;
    if (!contents.has(figure)) contents.set(figure, JSON.parse(figure.querySelector("script").textContent));
    const content = contents.get(figure);
    try {
      const config = chart.clientWidth < NARROW ? { ...theme, legend: { ...theme.legend, columns: 1 } } : theme;
      const compiled = vegaLite.compile(specOf(content, { config })).spec;
      const view = new vega.View(vega.parse(compiled), { renderer: "svg", hover: true, tooltip: showHover }).initialize(chart);
      view.run();
      const names = (compiled.signals ?? []).map((signal) => signal.name);
      const axes = ["x", "y"].filter((axis) => names.includes(`zoom_${axis}`));
      const full = Object.fromEntries(axes.map((axis) => [axis, view.scale(axis).domain()]));
      const plot = { figure, chart, view, content, axes, full };
      drawn.set(figure, plot);
      if (content.choices) choosing(plot);
      if (figure.classList.contains("small")) return;
      tools(plot);
      dataBehind(plot);
      if (axes.length) zooming(plot);
    } catch (error) {
      drawn.set(figure, null);
      chart.replaceChildren(make("p", { className: "failed" }, `This plot can't be drawn: ${error.message}`));
      console.error(figure.id, error);
    }
  }

  // Zoom: signals zoom_x and zoom_y hold the domain, null is all ------------------------------------------------------
  const group = (plot) =>
    plot.figure.dataset.zoom ? [...drawn.values()].filter((other) => other && other.figure.dataset.zoom === plot.figure.dataset.zoom) : [plot];

  function setDomain(plot, axis, domain) {
    const covers = domain && domain[0] <= plot.full[axis][0] && domain[1] >= plot.full[axis].at(-1);
    const set = covers ? null : domain;
    for (const other of axis === "x" ? group(plot) : [plot]) {
      if (other.axes.includes(axis)) other.view.signal(`zoom_${axis}`, set).run();
    }
  }

  // Along an axis in shares of its length, from left to right and from bottom to top: any scale inverts pixels.
  function select(plot, axis, from, to) {
    const scale = plot.view.scale(axis);
    const [start, end] = scale.range();
    const domain = [from, to].map((share) => Number(scale.invert(start + share * (end - start))));
    if (domain.every(Number.isFinite) && domain[1] > domain[0]) setDomain(plot, axis, domain);
  }
  const zoomBy = (plot, by, at = 0.5) => plot.axes.forEach((axis) => select(plot, axis, at * by, 1 - (1 - at) * by));
  const pan = (plot, axis, by) => plot.axes.includes(axis) && select(plot, axis, by, 1 + by);
  const reset = (plot) => plot.axes.forEach((axis) => setDomain(plot, axis, null));

  function place(plot, event) {
    const box = plot.chart.querySelector("svg").getBoundingClientRect();
    const [left, top] = plot.view.origin();
    return { x: event.clientX - box.left - left, y: event.clientY - box.top - top, left, top };
  }

  function zooming(plot) {
    const { chart, view, axes } = plot;
    const band = make("div", { className: "band", hidden: true });
    let start = null;
    chart.classList.add("zooms");
    chart.append(band);
    const limits = (event) => {
      const here = place(plot, event);
      const size = { x: view.width(), y: view.height() };
      const cut = (axis, value) => Math.min(Math.max(value, 0), size[axis]);
      const edges = (axis) => [cut(axis, start[axis]), cut(axis, here[axis])].sort((a, b) => a - b);
      return { x: axes.includes("x") ? edges("x") : [0, size.x], y: axes.includes("y") ? edges("y") : [0, size.y], size, ...{ left: here.left, top: here.top } };
    };
    const dragged = (found) => axes.some((axis) => found[axis][1] - found[axis][0] > 4);
    chart.addEventListener("pointerdown", (event) => {
      if (event.button === 0) start = place(plot, event);
    });
    window.addEventListener("pointermove", (event) => {
      if (!start) return;
      const found = limits(event);
      band.hidden = !dragged(found);
      Object.assign(band.style, {
        left: `${found.left + found.x[0]}px`, width: `${found.x[1] - found.x[0]}px`,
        top: `${found.top + found.y[0]}px`, height: `${found.y[1] - found.y[0]}px`,
      });
    });
    window.addEventListener("pointerup", (event) => {
      if (!start) return;
      const found = limits(event);
      start = null;
      band.hidden = true;
      if (!dragged(found)) return;
      if (axes.includes("x")) select(plot, "x", found.x[0] / found.size.x, found.x[1] / found.size.x);
      if (axes.includes("y")) select(plot, "y", 1 - found.y[1] / found.size.y, 1 - found.y[0] / found.size.y);
    });
    chart.addEventListener("dblclick", () => reset(plot));
    chart.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the wheel alone scrolls the page
      event.preventDefault();
      zoomBy(plot, event.deltaY < 0 ? 1 - STEP : 1 / (1 - STEP), Math.min(Math.max(place(plot, event).x / view.width(), 0), 1));
    }, { passive: false });
    chart.addEventListener("keydown", (event) => {
      const does = {
        "+": () => zoomBy(plot, 1 - STEP), "=": () => zoomBy(plot, 1 - STEP), "-": () => zoomBy(plot, 1 / (1 - STEP)),
        ArrowLeft: () => pan(plot, "x", -STEP), ArrowRight: () => pan(plot, "x", STEP), 0: () => reset(plot), Escape: () => reset(plot),
      }[event.key];
      if (!does || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      does();
    });
  }

  // What the axes show: a choice puts the columns of its number into those that the spec draws -------------------------
  function choosing(plot) {
    const { figure, content } = plot;
    if (figure.querySelector(".choose")) return;
    const bar = make("div", { className: "choose" });
    for (const [axis, choices] of Object.entries(content.choices)) {
      if (choices.length < 2) continue;
      const select = make("select", {}, ...choices.map((choice) => make("option", { value: choice.at }, choice.label)));
      select.dataset.axis = axis;
      select.addEventListener("change", () => choose(figure, content));
      bar.append(make("label", {}, axis, select));
    }
    plot.chart.before(bar);
  }

  function choose(figure, content) {
    const at = Object.fromEntries(Object.keys(content.choices).map((axis) => [axis, Number(figure.querySelector(`[data-axis=${axis}]`)?.value ?? 0)]));
    for (const columns of Object.values(content.data)) {
      const from = { x: `x${at.x}`, y: `y${at.y}`, low: `low${at.y}`, high: `high${at.y}`, front: `front${at.x}${at.y}`, doubt: `doubt${at.x}${at.y}` };
      for (const [name, source] of Object.entries(from)) if (columns[source]) columns[name] = columns[source];
    }
    for (const [axis, choices] of Object.entries(content.choices)) {
      const channel = content.spec.encoding[axis];
      channel.title = choices[at[axis]].title;
      channel.scale.domain = choices[at[axis]].domain;
    }
    drawn.get(figure)?.view.finalize();
    drawn.delete(figure);
    figure.querySelectorAll(".tools, details.data").forEach((part) => part.remove());
    const chart = figure.querySelector(".chart");
    const clean = chart.cloneNode(false); // without the listeners of the plot before
    chart.replaceWith(clean);
    draw(figure);
  }

  // Saving ------------------------------------------------------------------------------------------------------------
  function save(name, address) {
    const link = make("a", { href: address, download: name });
    document.body.append(link);
    link.click();
    link.remove();
  }
  const saveText = (name, text, type) => {
    const address = URL.createObjectURL(new Blob([text], { type }));
    save(name, address);
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  };

  // As the command line writes it: on white, at one width, with the zoom as it is.
  function forPaper(plot) {
    const compiled = vegaLite.compile(specOf(plot.content, { width: EXPORT.width, background: "white" })).spec;
    const view = new vega.View(vega.parse(compiled), { renderer: "none" });
    plot.axes.forEach((axis) => view.signal(`zoom_${axis}`, plot.view.signal(`zoom_${axis}`)));
    return view;
  }

  const SAVES = {
    SVG: async (plot) => saveText(`${plot.figure.id}.svg`, await forPaper(plot).toSVG(), "image/svg+xml"),
    PNG: async (plot) => save(`${plot.figure.id}.png`, await forPaper(plot).toImageURL("png", EXPORT.scale)),
  };

  function tools(plot) {
    const title = plot.figure.querySelector("h3").textContent;
    const bar = make("div", { className: "tools" });
    const button = (label, name, does) => {
      const made = make("button", { type: "button", title: name }, label);
      made.setAttribute("aria-label", `${name}: ${title}`);
      made.addEventListener("click", does);
      bar.append(made);
    };
    bar.append(make("span", { className: "hint" }, plot.axes.length ? "drag to zoom, double-click for all" : ""));
    if (plot.axes.length) {
      button("+", "Zoom in", () => zoomBy(plot, 1 - STEP));
      button("\u2212", "Zoom out", () => zoomBy(plot, 1 / (1 - STEP)));
      button("All", "Show all", () => reset(plot));
    }
    for (const [label, does] of Object.entries(SAVES)) button(label, `Save as ${label}`, () => does(plot));
    plot.figure.append(bar);
  }

  // The table behind a plot, made when it is asked for ----------------------------------------------------------------
  const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  const csv = (columns) => {
    const names = Object.keys(columns);
    return [names, ...columns[names[0]].map((_, at) => names.map((name) => columns[name][at]))].map((row) => row.map(quoted).join(",")).join("\n");
  };

  function dataBehind(plot) {
    const details = make("details", { className: "data" }, make("summary", {}, "Data"));
    details.addEventListener("toggle", () => details.childElementCount > 1 || fill(plot, details));
    plot.figure.append(details);
  }

  function fill(plot, details) {
    for (const [set, columns] of Object.entries(plot.content.data)) {
      const names = Object.keys(columns);
      const count = names.length ? columns[names[0]].length : 0;
      if (!count) continue;
      const shown = Math.min(count, SHOWN_ROWS);
      const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, plot.content.labels[name] ?? name)));
      const rows = Array.from({ length: shown }, (_, at) =>
        make("tr", {}, ...names.map((name) => make("td", {}, String(columns[name][at] ?? "-")))),
      );
      const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
      const frame = make("div", { className: "scroll", tabIndex: 0 }, table);
      frame.setAttribute("role", "region");
      frame.setAttribute("aria-label", `Data of ${plot.figure.querySelector("h3").textContent}`);
      const button = make("button", { type: "button" }, "Save as CSV");
      button.addEventListener("click", () => saveText(`${plot.figure.id}-${set}.csv`, csv(columns), "text/csv"));
      details.append(frame, make("span", {}, shown < count ? `${shown} of ${count.toLocaleString("en")} rows shown. ` : ""), button);
    }
  }

  // The page ----------------------------------------------------------------------------------------------------------
  let folded = [];
  function beforePrint() {
    folded = $$("details.section:not([open], .unprinted), .verdict > details:not([open])");
    folded.forEach((details) => (details.open = true));
    $$("figure.plot").forEach(draw);
  }
  const afterPrint = () => folded.splice(0).forEach((details) => (details.open = false));

  // A plot is drawn when it comes near the window, one at a time; between two the page scrolls.
  const waiting = new Set();
  let drawing = false;
  function drawNext() {
    const [next] = waiting;
    document.documentElement.dataset.drawn = String(!next);
    drawing = Boolean(next);
    if (!next) return;
    waiting.delete(next);
    draw(next);
    setTimeout(drawNext, 0);
  }
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) waiting.delete(target);
      else if (!drawn.has(target)) waiting.add(target);
    }
    if (!drawing) drawNext();
  }, { rootMargin: NEAR });

  document.body.append(hover);
  $$("table.sortable").forEach(sortable);
  $$("table.fewer").forEach(foldable);
  addEventListener("beforeprint", beforePrint);
  addEventListener("afterprint", afterPrint);
  addEventListener("scroll", () => (hover.hidden = true), { passive: true });
  $$("figure.plot").forEach((figure) => near.observe(figure));
  if (!$$("figure.plot").length) document.documentElement.dataset.drawn = "true";
})();
