"""Benchmark how fast the explorer reacts to a key, measured in the page.

In JupyterLab, and in the classic Notebook on Colab's versions.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser.conftest import ARGUMENTS, COLAB_PYTHON, find_chromium  # noqa: E402
from browser.pages import Open  # noqa: E402
from browser.panels import CURVES, PanelOnPage  # noqa: E402
from browser.servers import serve  # noqa: E402

MOVES = 20
IMPORTS = """\
from functools import partial
from ftkit import Explorer, Recorded
from ftkit.paths import kit_path
from ftkit.lessons.lora.picture import spectra
from ftkit.storage import read_table
from ftkit.experiments.benchmark import BENCHMARKS, STEPS, load_benchmark
from ftkit.lessons.lora.study import LRS, RANKS, TARGETS
from ftkit.lessons.lora.trial import spectrum, trial
load_benchmark("opening")
table, _ = read_table(kit_path("data", "results", "02_lora.parquet"))
recorded = Recorded(table, method="LoRA", over="rank")"""
PANEL = """\
panel = Explorer(
    partial(trial, probe=spectrum), steps=STEPS, recorded=recorded, picture=spectra,
    start={"rank": 4, "lr": 3e-3}, bench=list(BENCHMARKS), rank=RANKS, lr=LRS, targets=TARGETS,
    alpha=["16", "2r"], title="timed",
)
panel"""
WATCH = """css => {
    const curves = document.querySelector(css), times = window.ftkitTimes = {};
    const pressed = () => Object.assign(times, {
        key: performance.now(), run: +curves.dataset.run, fresh: 0, first: 0, done: 0,
    });
    document.addEventListener('keydown', pressed, true);
    new MutationObserver(() => {
        const now = performance.now() - times.key, {run, steps, how} = curves.dataset;
        if (!(+run > times.run)) return;
        times.fresh ||= now;
        if (+steps > 0) times.first ||= now;
        if (how === 'finished') times.done ||= now;
    }).observe(curves, {attributes: true});
}"""
"""Notes in the page the milliseconds from a key to what the new run paints."""


def times(panel: PanelOnPage) -> dict[str, float]:
    """The seconds from the last key to the new run's first paint ("fresh"), first point and end.

    0 for what has not happened yet.
    """
    milliseconds: dict[str, float] = panel.page.evaluate("() => window.ftkitTimes")
    return {name: milliseconds[name] / 1000 for name in ("fresh", "first", "done")}


def measure(notebook: Open) -> dict[str, float]:
    """Measure the explorer of lesson 02 in an open notebook, after its imports."""
    notebook.kernel(IMPORTS)
    start = notebook.page.evaluate("() => performance.now()")
    notebook.start_all()
    notebook.page.wait_for_selector(f"{CURVES} .main-svg", timeout=60_000)
    visible = (notebook.page.evaluate("() => performance.now()") - start) / 1000
    panel = PanelOnPage(notebook)
    panel.wait("finished")
    notebook.wait_idle()
    received = notebook.bytes_received
    notebook.page.evaluate(WATCH, CURVES)
    # 1. One move at a time.
    alone = []
    for turn in range(MOVES):
        before = panel.run
        panel.press("rank", "ArrowRight" if turn % 2 == 0 else "ArrowLeft")
        panel.wait("finished", before)
        alone.append(times(panel))
    # 2. A second move while the run of the first one is in progress.
    second = []
    for turn in range(MOVES // 2):
        before = panel.run
        panel.press("rank", "ArrowRight" if turn % 2 == 0 else "ArrowLeft")
        panel.wait("running", before)
        panel.press("lr", "ArrowLeft" if turn % 2 == 0 else "ArrowRight")
        panel.wait("finished", before + 1)
        second.append(times(panel)["fresh"])
    to_first = [move["first"] for move in alone]
    return {
        "explorer visible": visible,
        "move to first point, 95th percentile": quantiles(to_first, n=20)[-1],
        "move to finished run, median": median(move["done"] for move in alone),
        "second move in mid-run to the new run, median": median(second),
        "megabytes to the page until the first run is done": received / 1e6,
    }


TARGET = {
    "explorer visible": 2.0,
    "move to first point, 95th percentile": 0.2,
    "move to finished run, median": 2.0,
    "second move in mid-run to the new run, median": 0.2,
}


def rows() -> list[tuple[str, float, float | None, str]]:
    """Name, value, target and unit, for both front ends; no rows without a browser."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    pythons: dict[str, Any] = {"lab": Path(sys.executable), "classic": COLAB_PYTHON}
    if path is None:
        return []
    table = []
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        for name, python in pythons.items():
            root = Path(folder) / name
            root.mkdir()
            with serve(name, python, browser, root, root) as server:
                server.write("panel.ipynb", PANEL)
                with server.open("panel.ipynb", height=1300) as notebook:
                    measured = measure(notebook)
            for what, value in measured.items():
                unit = "MB" if what.startswith("megabytes") else "s"
                table.append((f"{name}: {what}", value, TARGET.get(what), unit))
        browser.close()
    return table
