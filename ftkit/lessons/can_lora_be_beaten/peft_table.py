"""PEFT's public comparison of methods as data, and two yardsticks for its differences.

The comparison has two suites. In the first, Llama-3.2-3B learns mathematics from MetaMathQA in
5,000 steps of 4 rows and answers the 1,319 test questions of GSM8K. In the second,
FLUX.2-klein-base-4B learns to draw one cat. Every row is one run with seed 0. Most rows of the
first suite were run several times, with newer versions of the libraries.

Source: huggingface/peft, method_comparison, its folders MetaMathQA and image-gen, in the state of
21 August 2026.
"""

import re
from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from scipy import stats

from ftkit.checksums import checked
from ftkit.paths import kit_path
from ftkit.stats.paired import holm, proportion, two_proportions

ITEMS = 1319
"""The number of test questions in GSM8K."""
REFERENCE = "LoRA r32"
"""The row that the comparison itself treats as LoRA: rank 32 on queries and values."""
SAME = ["lr", "trainable", "steps"]
"""What must be equal in two runs of one experiment: else the second is no repetition."""
SPELLING = {
    "adalora": "AdaLoRA",
    "adamss": "AdaMSS",
    "adaptionprompt": "adaption prompt",
    "bdlora": "BD-LoRA",
    "beft": "BEFT",
    "boft": "BOFT",
    "c3a": "C3A",
    "deft": "DEFT",
    "delora": "DeLoRA",
    "dora": "DoRA",
    "fourierft": "FourierFT",
    "frod": "FRoD",
    "full-finetuning": "full fine-tuning",
    "glora": "GLoRA",
    "gralora": "GraLoRA",
    "hira": "HiRA",
    "hra": "HRA",
    "ia3": "(IA)3",
    "lily": "Lily",
    "ln_tuning": "layer norms",
    "loha": "LoHa",
    "lokr": "LoKr",
    "lora": "LoRA",
    "lorafa": "LoRA-FA",
    "mica": "MiCA",
    "miss": "MiSS",
    "mlp": "MLP",
    "oft": "OFT",
    "osf": "OSF",
    "peanut": "PEANuT",
    "prefixtuning": "prefix tuning",
    "prompt_tuning": "prompt tuning",
    "psoft": "PSOFT",
    "ptuning": "P-tuning",
    "pvera": "PVeRA",
    "randlora": "RandLoRA",
    "road": "RoAd",
    "rslora": "rsLoRA",
    "shira": "SHiRA",
    "target": "on",
    "tinylora": "TinyLoRA",
    "trainable_tokens": "trainable tokens",
    "unilora": "UniLoRA",
    "vblora": "VB-LoRA",
    "vera": "VeRA",
    "waveft": "WaveFT",
}
"""How a word of an experiment's name is spelled in the name of a method."""
_MODEL = r"(?:llama-3\.2-3B|flux2-klein)"
_PLAIN_LORA = re.compile(rf"lora/{_MODEL}-(?:default|rank\d+(?:-target-mlp)?(?:-rslora)?)")


def public_table() -> pd.DataFrame:
    """Return all 63 rows of the suite on mathematics, best accuracy first.

    Returns:
        Columns `place` (equal accuracies share one); `method`, see `method_name`; `accuracy` and
        its Wilson interval `low`, `high`, in per cent; `forgetting`, the rise of the cross-entropy
        on Wikipedia in nats; `gigabytes`, the peak of memory; `seconds` of training;
        `trainable_millions`; `lr`; `is_lora`, see `is_plain_lora`; `targets`, the layers;
        `scale` of the change BA in rows with LoRA's parameters, else nan; `run`, the date.
    """
    table = _described(_read("peft_metamathqa"))
    accuracy = 100 * table["accuracy"]
    spans = [proportion(right(each), ITEMS) for each in accuracy]
    return table.assign(
        place=accuracy.rank(method="min", ascending=False).astype(int),
        accuracy=accuracy,
        low=[100 * low for _, low, _ in spans],
        high=[100 * high for _, _, high in spans],
    )


def image_table() -> pd.DataFrame:
    """Return all 31 rows of the suite on pictures, highest similarity first.

    Returns:
        The columns of `public_table`, with `similarity` in place of the accuracy: the mean cosine
        similarity of DINOv2's features between drawn pictures and the four test photographs. And
        `drift`, the change of pictures that should not change, in place of `forgetting`. No
        interval: four photographs and one run a row give none.
    """
    table = _described(_read("peft_image_generation"))
    place = table["similarity"].rank(method="min", ascending=False).astype(int)
    return table.assign(place=place)


def method_name(experiment: str) -> str:
    """Name a row by a rule: its technique, then what the name of its experiment adds.

    >>> method_name("lora/llama-3.2-3B-rank64-rslora")
    'LoRA r64 rsLoRA'
    >>> method_name("prefixtuning/llama-3.2-3B-lr_0.005_zero_init")
    'prefix tuning lr 0.005 zero init'
    """
    technique, _, rest = experiment.partition("/")
    settings = re.sub(rf"^{_MODEL}-(default)?", "", rest)
    settings = re.sub(r"(?<!\de)[-_]", " ", settings)  # but not the minus of 5e-3
    settings = re.sub(r"\blr ?([\d.e-]+)", lambda found: f"lr {float(found[1]):g}", settings)
    settings = re.sub(r"\brank(\d+)", r"r\1", settings)
    return " ".join(SPELLING.get(word, word) for word in [technique, *settings.split()])


def is_plain_lora(experiment: str) -> bool:
    """Tell whether a row is LoRA itself: its name has a rank, layers and rsLoRA's scale at most.

    rsLoRA is LoRA with alpha over the root of the rank. Variants such as DoRA are not LoRA.

    >>> is_plain_lora("lora/llama-3.2-3B-rank10-target-mlp")
    True
    >>> is_plain_lora("lora/llama-3.2-3B-rank32-dora")
    False
    """
    return _PLAIN_LORA.fullmatch(experiment) is not None


def right(accuracy: float) -> int:
    """Return the number of right answers for an accuracy in per cent."""
    return round(accuracy / 100 * ITEMS)


def rerun_pairs() -> pd.DataFrame:
    """Return each run of the suite on mathematics with the run before it of the same experiment.

    The learning rate, the number of trainable parameters and the number of steps must be the same.
    The first runs did not record their size; they are left out.

    Returns:
        Columns `experiment`; `method`, see `method_name`; `previous_run` and `run`, two dates;
        `previous` and `accuracy`, in per cent; `change`, in points.
    """
    runs = pd.concat([_read("peft_metamathqa_earlier"), _read("peft_metamathqa")])
    runs = runs.sort_values(["experiment", "run"], ignore_index=True)
    runs["accuracy"] *= 100
    before = runs.groupby("experiment")[["run", "accuracy", *SAME]].shift()
    repeated = (runs[SAME] == before[SAME]).all(axis=1)  # what is not known equals nothing
    pairs = runs.assign(previous_run=before["run"], previous=before["accuracy"])[repeated]
    pairs = pairs[["experiment", "previous_run", "run", "previous", "accuracy"]]
    return pairs.assign(
        method=pairs["experiment"].map(method_name),
        change=pairs["accuracy"] - pairs["previous"],
    ).reset_index(drop=True)


@dataclass(frozen=True)
class Noise:
    """The noise of re-runs: what two runs of the same experiment differ by, in points.

    `shift` is the mean change, which newer libraries gave to all. `deviation` is the standard
    deviation of a difference of two runs around it, and `freedom` its degrees of freedom.
    """

    shift: float
    deviation: float
    freedom: float


def rerun_noise(pairs: pd.DataFrame | None = None) -> Noise:
    """Estimate the noise of re-runs from pairs of runs.

    A pair is a difference of two runs, as is a row minus another row. So the deviation is that of
    a difference of rows, if all rows have the same noise. A shift that all share cancels there.

    Two pairs that share a run have the correlation -1/2. For n pairs with k such neighbours, the
    squares of the eigenvalues of their correlations sum to n + k/2. So by Satterthwaite's rule
    they count as n^2 / (n + k/2) pairs.

    Args:
        pairs: rows of `rerun_pairs`; all of them by default.

    Raises:
        ValueError: fewer than two pairs.
    """
    pairs = rerun_pairs() if pairs is None else pairs
    if len(pairs) < 2:
        raise ValueError(
            f"pairs must have two rows at least, got {len(pairs)}; pass rows of rerun_pairs()"
        )
    shares_a_run = pairs["previous_run"] == pairs.groupby("experiment")["run"].shift()
    count = len(pairs) ** 2 / (len(pairs) + shares_a_run.sum() / 2)
    change = pairs["change"]
    return Noise(float(change.mean()), float(change.std()), float(count - 1))


def against(
    table: pd.DataFrame, reference: str = REFERENCE, noise: Noise | None = None
) -> pd.DataFrame:
    """Compare every other row with `reference` by both yardsticks, each time as one family.

    Args:
        table: rows of `public_table`.
        reference: a value of its column `method`.
        noise: the noise of re-runs; that of all pairs by default.

    Returns:
        Columns `place`, `method`, `is_lora`, `difference` in points; `questions`, the p of two
        proportions on different questions; `reruns`, the p of a t-test with the noise of re-runs;
        `questions_holm` and `reruns_holm`, Holm's p in the family of all these rows.

    Raises:
        ValueError: the table has no row `reference`.
    """
    baseline = _accuracy(table, reference)
    noise = rerun_noise() if noise is None else noise
    others = table[table["method"] != reference].reset_index(drop=True)
    difference = others["accuracy"] - baseline
    questions = [
        two_proportions(right(accuracy), ITEMS, right(baseline), ITEMS)
        for accuracy in others["accuracy"]
    ]
    reruns = 2 * stats.t.sf(difference.abs() / noise.deviation, noise.freedom)
    return others[["place", "method", "is_lora"]].assign(
        difference=difference,
        questions=questions,
        questions_holm=holm(questions),
        reruns=reruns,
        reruns_holm=holm(reruns.tolist()),
    )


def critical_differences(
    table: pd.DataFrame, reference: str = REFERENCE, noise: Noise | None = None
) -> dict[str, float]:
    """The differences from `reference`, in points, at which p is 0.05 for one row alone.

    Returns:
        By yardstick, "other questions" and "re-runs". The first is for a row near the reference.

    Raises:
        ValueError: the table has no row `reference`.
    """
    share = _accuracy(table, reference) / 100
    noise = rerun_noise() if noise is None else noise
    error = 100 * sqrt(2 * share * (1 - share) / ITEMS)
    return {
        "other questions": float(stats.norm.ppf(0.975) * error),
        "re-runs": float(stats.t.ppf(0.975, noise.freedom) * noise.deviation),
    }


def _accuracy(table: pd.DataFrame, reference: str) -> float:
    rows = table.loc[table["method"] == reference, "accuracy"]
    if rows.empty:
        raise ValueError(
            f"reference must be a row of the table, got {reference!r}; see its column method"
        )
    return float(rows.iloc[0])


def _read(name: str) -> pd.DataFrame:
    return pd.read_csv(checked(kit_path("data"), f"public/{name}.csv"))


def _described(table: pd.DataFrame) -> pd.DataFrame:
    """Add to the source's columns what readers look for: names, units and the scale of BA."""
    divisor = table["rank"].mask(table["rslora"].eq(True), np.sqrt(table["rank"]))
    return table.assign(
        method=table["experiment"].map(method_name),
        is_lora=table["experiment"].map(is_plain_lora),
        targets=table["targets"].fillna("").str.replace("_proj", "").str.replace("+", ", "),
        scale=(table["alpha"] / divisor).where(table["technique"] == "LORA"),
        gigabytes=table["memory_max"] / 1e9,
        seconds=table["train_time"],
        trainable_millions=table["trainable"] / 1e6,
    )
