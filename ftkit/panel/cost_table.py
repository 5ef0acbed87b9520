"""The bill of a run beside full fine-tuning's, as a small table."""

from collections.abc import Mapping

ROWS = {
    "trainable": ("numbers that train", ""),
    "flops": ("FLOPs a step", ""),
    "weights": ("weights", "B"),
    "gradients": ("gradients", "B"),
    "optimizer": ("optimizer state", "B"),
    "activations": ("activations", "B"),
    "disk": ("change on disk", "B"),
    "seconds": ("time a step", "s"),
}


def amount(value: float, unit: str) -> str:
    """A number with a prefix, three digits.

    >>> amount(16904, ""), amount(4.16e6, "B"), amount(0.0237, "s"), amount(0, "B")
    ('16.9 k', '4.16 MB', '23.7 ms', '0 B')
    """
    if value == 0:
        return f"0 {unit}".strip()
    prefixes = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
    factor, prefix = next((pair for pair in prefixes if abs(value) >= pair[0]), prefixes[-1])
    scaled = value / factor
    return f"{scaled:.{max(0, 3 - len(str(int(abs(scaled)))))}f} {prefix}{unit}".strip()


def bill(here: Mapping[str, float], full: Mapping[str, float] | None, live: bool) -> str:
    """HTML: each entry of the bill of this run, as a number and as a share of full fine-tuning's.

    Seconds have no share: those of another machine, or of another hour, do not compare.
    """
    beside = "<th>full</th><th>share</th>" if full else ""
    lines = [f"<tr><th>{'measured in this run' if live else 'recorded'}</th><th></th>{beside}</tr>"]
    for name, (words, unit) in ROWS.items():
        cells = f"<td>{words}</td><td>{amount(here[name], unit)}</td>"
        if full and name == "seconds":
            cells += "<td></td><td></td>"
        elif full:
            share = here[name] / full[name] if full[name] else 0.0
            bar = f'<span class="ftkit-bar" style="width:{min(36, round(30 * share))}px"></span>'
            cells += f"<td>{amount(full[name], unit)}</td><td>{bar} {100 * share:.3g} %</td>"
        lines.append(f"<tr>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"
