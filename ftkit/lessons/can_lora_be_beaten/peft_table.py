"""A public comparison as data: PEFT's method_comparison on GSM8K, one run a method."""

import pandas as pd

from ftkit.checksums import checked
from ftkit.paths import kit_path
from ftkit.stats.paired import holm, proportion, two_proportions

ITEMS = 1319
"""The number of test items in GSM8K."""
RUNS = 63
"""The rows of the whole table; the kit has the first 22 and eight more that teach something."""
REFERENCE = "LoRA r32 (q, v)"
SETTINGS, RERUN, SHIFT = 51, 1.43, -1.1
"""The table was made again with the same seed and newer libraries. 51 settings were unchanged.
Their accuracies moved by 1.43 points in the mean of the absolute values, by -1.1 in the mean."""


def public_table() -> pd.DataFrame:
    """Return thirty rows of the table, best accuracy first.

    Llama-3.2-3B, fine-tuned on MetaMathQA for 5,000 steps of 4 rows; one seed.

    Returns:
        Columns `place`; `method`; `accuracy` and its Wilson interval `low`, `high`, in per cent;
        `forgetting`, the rise of the cross-entropy on Wikipedia in nats; `gigabytes`, the peak;
        `seconds` of training; `trainable_millions`; `lr`.

    Source: huggingface/peft, method_comparison/MetaMathQA (2026).
    """
    table = pd.read_csv(checked(kit_path("data"), "public/peft_metamathqa.csv"))
    spans = [proportion(right(accuracy), ITEMS) for accuracy in table["accuracy"]]
    return table.assign(
        low=[100 * low for _, low, _ in spans], high=[100 * high for _, _, high in spans]
    )


def right(accuracy: float) -> int:
    """Return the number of right items for an accuracy in per cent."""
    return round(accuracy / 100 * ITEMS)


def against(
    table: pd.DataFrame, reference: str = REFERENCE, compared: int = RUNS - 1
) -> pd.DataFrame:
    """Compare every other row with `reference`, as one family.

    Rows that the kit does not have count in the family with p = 1: they make it larger, and do not
    differ from the reference.

    Args:
        compared: the size of the whole family.

    Returns:
        Columns `place`, `method`, `difference` in points, `p` of two proportions, and `adjusted`,
        Holm's p in the family.

    Raises:
        ValueError: the table has no row `reference`, or more rows than `compared`.
    """
    if reference not in set(table["method"]):
        raise ValueError(
            f"reference must be a row of the table, got {reference!r}; see its column method"
        )
    others = table[table["method"] != reference].reset_index(drop=True)
    if len(others) > compared:
        raise ValueError(
            f"compared must count all {len(others)} rivals, got {compared}; "
            "leave it at the size of the whole family"
        )
    baseline = float(table.loc[table["method"] == reference, "accuracy"].iloc[0])
    p = [
        two_proportions(right(accuracy), ITEMS, right(baseline), ITEMS)
        for accuracy in others["accuracy"]
    ]
    not_here = [1.0] * (compared - len(p))
    adjusted = holm([*p, *not_here])[: len(p)]
    return others[["place", "method"]].assign(
        difference=others["accuracy"] - baseline, p=p, adjusted=adjusted
    )
