// A plotly figure that a kernel repaints: `spec` in, Plotly.react out.
// plotly.js is unpacked once a page.

function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text().then((text) => {
    const module = { exports: {} };
    // As a CommonJS module: the page may have another plotly, or a loader that would catch this.
    const run = new Function("module", "exports", "define", text);
    run.call(globalThis, module, module.exports, undefined);
    return module.exports.react ? module.exports : globalThis.Plotly;
  });
}

// Ask the kernel for plotly.js, again and again: it may be busy, or have just been restarted.
function asked(model) {
  return new Promise((resolve) => {
    const answer = (content, buffers) => {
      if (content.plotly !== "here" || !buffers.length) return;
      clearInterval(again);
      model.off("msg:custom", answer);
      resolve(buffers[0]);
    };
    const ask = () => model.send({ plotly: "wanted" });
    const again = setInterval(ask, 3000);
    model.on("msg:custom", answer);
    ask();
  });
}

// One plotly.js for all plots of the page.
function plotly(model) {
  globalThis.__ftkit_plotly ??= (async () => {
    const sent = model.get("library");
    return unpack(sent && sent.byteLength ? sent : await asked(model));
  })();
  return globalThis.__ftkit_plotly;
}

// Text and grid take the page's colour, so that a figure reads well in light and dark themes.
function themed(layout, colour) {
  const faint = colour.replace(/^rgba?\(([^)]*)\)$/, (_, parts) => {
    const rgb = parts.split(",").slice(0, 3).join(",");
    return `rgba(${rgb},0.15)`;
  });
  const clear = "rgba(0,0,0,0)";
  const out = { ...layout, autosize: true, paper_bgcolor: clear, plot_bgcolor: clear };
  out.font = { ...layout.font, color: colour };
  const lines = { gridcolor: faint, linecolor: faint, zerolinecolor: faint };
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(key)) out[key] = { ...layout[key], ...lines };
  }
  return out;
}

const CONFIG = { displaylogo: false, displayModeBar: false, responsive: false };
const THEME = ["data-jp-theme-light", "data-jp-theme-name", "theme"]; // attributes of the body

function render({ model, el }) {
  const figure = document.createElement("div");
  figure.className = "ftkit-plot";
  figure.setAttribute("role", "img");
  el.appendChild(figure);
  let library = null;
  let busy = false;
  let pending = false;
  let gone = false;
  // The page's colour when the figure was drawn. There is none while the figure is not in the page,
  // as in a cell that is scrolled away.
  let painted = "";

  // One drawing at a time: a request that comes meanwhile is drawn after it, with the newest spec.
  async function draw() {
    if (busy) return void (pending = true);
    busy = true;
    try {
      library ??= await plotly(model);
      do {
        pending = false;
        const { data = [], layout = {} } = model.get("spec");
        figure.style.height = `${layout.height || 300}px`;
        figure.setAttribute("aria-label", model.get("alt"));
        painted = getComputedStyle(figure).color;
        if (!gone) await library.react(figure, data, themed(layout, painted), CONFIG);
        // For tests that watch the page: data-run, data-steps, data-validations, data-how.
        for (const [key, value] of Object.entries(layout.meta || {})) figure.dataset[key] = value;
      } while (pending && !gone);
    } finally {
      busy = false;
    }
  }

  const sized = new ResizeObserver(() => {
    if (!library || gone || !figure.clientWidth) return;
    library.Plots.resize(figure);
    if (getComputedStyle(figure).color !== painted) draw();
  });
  sized.observe(figure);
  const theme = new MutationObserver(draw);
  theme.observe(document.body, { attributes: true, attributeFilter: THEME });
  model.on("change:spec", draw);
  draw();
  return () => {
    gone = true;
    sized.disconnect();
    theme.disconnect();
    model.off("change:spec", draw);
    if (library) library.purge(figure);
  };
}

export default { render };
