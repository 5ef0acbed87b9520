// A plotly figure that a kernel repaints: `spec` in, Plotly.react out. plotly.js is unpacked once a page.

function unpack(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text().then((text) => {
    const module = { exports: {} };
    // As a CommonJS module: the page may have another plotly, or a loader that would catch this one.
    new Function("module", "exports", "define", text).call(globalThis, module, module.exports, undefined);
    return module.exports.react ? module.exports : globalThis.Plotly;
  });
}

function asked(model) {
  return new Promise((resolve) => {
    const answer = (content, buffers) => {
      if (content.plotly !== "here" || !buffers.length) return;
      clearInterval(again);
      model.off("msg:custom", answer);
      resolve(buffers[0]);
    };
    const ask = () => model.send({ plotly: "wanted" });
    const again = setInterval(ask, 3000); // the kernel may have been busy, or just been restarted
    model.on("msg:custom", answer);
    ask();
  });
}

function plotly(model) {
  globalThis.__ftkit_plotly ??= (async () => {
    const sent = model.get("library");
    return unpack(sent && sent.byteLength ? sent : await asked(model));
  })();
  return globalThis.__ftkit_plotly;
}

// Text and grid take the page's colour, so that a figure reads in light and dark themes alike.
function themed(layout, colour) {
  const faint = colour.replace(/^rgba?\(([^)]*)\)$/, (_, parts) => `rgba(${parts.split(",").slice(0, 3).join(",")},0.15)`);
  const out = { ...layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
  out.font = { ...layout.font, color: colour };
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(key)) out[key] = { ...layout[key], gridcolor: faint, linecolor: faint, zerolinecolor: faint };
  }
  return out;
}

function render({ model, el }) {
  const figure = document.createElement("div");
  figure.className = "ftkit-plot";
  figure.setAttribute("role", "img");
  el.appendChild(figure);
  let library = null;
  let busy = false;
  let pending = false;
  let gone = false;
  let painted = ""; // the page's colour when it was drawn: none while the page does not hold it, as with a cell that is scrolled away

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
        if (!gone) await library.react(figure, data, themed(layout, painted), { displaylogo: false, displayModeBar: false, responsive: false });
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
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "theme"] });
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
