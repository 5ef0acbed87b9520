"""A public comparison as data: PEFT's method_comparison on GSM8K, one run a method, and what can be told of it."""

import pandas as pd

from ftkit.paths import kit_path
from ftkit.stats.paired import holm, proportion, two_proportions

ITEMS = 1319
"""The test items of GSM8K."""
RUNS = 63
"""The rows of the whole table; the kit has the first 22 and eight more that teach something."""
REFERENCE = "LoRA r32 (q, v)"
SETTINGS, RERUN, SHIFT = 51, 1.43, -1.1
"""So many settings were unchanged when the table was made again with the same seed and newer libraries: by how many points an accuracy
moved in the mean of its absolute values, and in the mean of all."""


def public_table() -> pd.DataFrame:
    """Thirty rows: `place`, `method`, `accuracy` and its Wilson interval `low`, `high` in per cent, `forgetting` (rise of the cross-entropy
    on Wikipedia, nats), `gigabytes` at most, `seconds` of training, `trainable_millions`, `lr`.

    Llama-3.2-3B tuned on MetaMathQA for 5,000 steps of 4 rows; one seed. Source: huggingface/peft, method_comparison/MetaMathQA (2026).
    """
    table = pd.read_csv(kit_path("data", "public", "peft_metamathqa.csv"))
    ends = [proportion(right(accuracy), ITEMS) for accuracy in table["accuracy"]]
    return table.assign(
        low=[100 * low for _, low, _ in ends], high=[100 * high for *_, high in ends]
    )


def right(accuracy: float) -> int:
    """The items that an accuracy in per cent stands for."""
    return round(accuracy / 100 * ITEMS)


def against(
    table: pd.DataFrame, reference: str = REFERENCE, compared: int = RUNS - 1
) -> pd.DataFrame:
    """Every other row minus `reference`: `difference` in points, `p` of two proportions, and `adjusted`, Holm's for a family of `compared`.

    The rows that the kit does not have count in the family with p = 1: they make it larger and cannot be told from the reference.

    Raises:
        ValueError: the table has no such row, or more rows than `compared`.
    """
    if reference not in set(table["method"]):
        raise ValueError(
            f"reference must be a row of the table, got {reference!r}; see its column method"
        )
    theirs = float(table.loc[table["method"] == reference, "accuracy"].iloc[0])
    others = table[table["method"] != reference].reset_index(drop=True)
    if len(others) > compared:
        raise ValueError(
            f"compared must count all {len(others)} rivals, got {compared}; leave it at the size of the whole family"
        )
    p = [two_proportions(right(own), ITEMS, right(theirs), ITEMS) for own in others["accuracy"]]
    adjusted = holm([*p, *[1.0] * (compared - len(p))])[: len(p)]
    return others[["place", "method"]].assign(
        difference=others["accuracy"] - theirs, p=p, adjusted=adjusted
    )
