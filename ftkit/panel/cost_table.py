"""The cost of a run next to the cost of full fine-tuning, as a small table."""

from collections.abc import Mapping

ROWS = {
    "trainable": ("trainable parameters", 1),
    "flops": ("operations per step (GFLOP)", 1e9),
    "weights": ("weight memory (MB)", 1e6),
    "gradients": ("gradient memory (MB)", 1e6),
    "optimizer": ("optimizer memory (MB)", 1e6),
    "activations": ("activation memory (MB)", 1e6),
    "disk": ("change on disk (MB)", 1e6),
    "seconds": ("time per step (ms)", 1e-3),
}
"""For each entry of a `Cost` its words, and how much one of their unit is."""


def amount(value: float, unit: float) -> str:
    """Write a value in a unit: a whole number in full, any other with three significant digits.

    >>> amount(16904, 1), amount(4.16e6, 1e6), amount(71_680, 1e6), amount(0.0237, 1e-3)
    ('16,904', '4.16', '0.0717', '23.7')
    """
    scaled = value / unit
    if unit == 1 or scaled == 0 or abs(scaled) >= 100:
        return f"{scaled:,.0f}"
    return f"{scaled:.3g}"


def cost_table(here: Mapping[str, float], full: Mapping[str, float] | None, live: bool) -> str:
    """Return HTML: each entry of the cost of this run, and its share of full fine-tuning's.

    Seconds have no share: times of different machines or hours do not compare.

    Args:
        here: the cost of this run, by the names of `Cost`.
        full: the cost of full fine-tuning, if there is one to compare with.
        live: whether `here` was measured in this run, or taken from recorded runs.
    """
    source = "measured in this run" if live else "recorded"
    heads = "<th>full</th><th>share</th>" if full else ""
    lines = [f"<tr><th>{source}</th><th></th>{heads}</tr>"]
    for name, (words, unit) in ROWS.items():
        cells = f"<td>{words}</td><td>{amount(here[name], unit)}</td>"
        if full and name == "seconds":
            cells += "<td></td><td></td>"
        elif full:
            share = here[name] / full[name] if full[name] else 0.0
            width = min(36, round(30 * share))  # pixels
            bar = f'<span class="ftkit-bar" style="width:{width}px"></span>'
            cells += f"<td>{amount(full[name], unit)}</td><td>{bar} {100 * share:.3g} %</td>"
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"
