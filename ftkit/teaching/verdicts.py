"""From paired differences to figures in words, and to the verdict on a claim."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ftkit.stats.paired import FEWEST, diverged, interval, verdict
from ftkit.teaching.claim_table import Finding

MARGIN = 0.01
"""Within one point, in [0, 1], two methods tie; agreed on before the runs."""


def points(values: Sequence[float] | np.ndarray) -> str:
    """Return a mean difference in points with its interval, or which runs diverged.

    >>> points([0.01, 0.02, 0.03]), points([0.01, float("nan")])
    ('+2.0 [-0.5, +4.5]', 'no mean, the run at position 1 diverged')
    """
    if note := diverged(values):
        return f"no mean, {note}"
    mean, low, high = (100 * value for value in interval(list(values)))
    return f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def judge_differences(
    differences: Mapping[str, np.ndarray], supporting: Iterable[str]
) -> tuple[tuple[Finding, ...], str]:
    """Return the findings and the verdict on a claim about paired differences.

    Where both "beats" and "ties" support a claim, it says that something is no worse. Then a
    difference also supports it if its whole interval is above minus the margin, even when it is
    inconclusive whether it beats or ties. A comparison with a run that diverged is inconclusive.

    Args:
        differences: by comparison, one value a seed, accuracies in [0, 1]; nan for a run that
            diverged.
        supporting: the verdicts on a difference that support the claim.
    """
    supporting = set(supporting)
    findings, verdicts = [], []
    for name, values in differences.items():
        says = "inconclusive" if diverged(values) else verdict(list(values), MARGIN)
        findings.append(Finding(name, points(values), says))
        if supporting >= {"beats", "ties"} and _is_no_worse(list(values)):
            says = "ties"
        verdicts.append(says)
    return tuple(findings), combined_verdict(verdicts, supporting)


def _is_no_worse(differences: Sequence[float]) -> bool:
    if diverged(differences) or len(differences) < FEWEST:
        return False
    return interval(differences)[1] > -MARGIN


def combined_verdict(verdicts: Iterable[str], supporting: Iterable[str]) -> str:
    """Return what the verdicts of several comparisons say about a claim.

    "holds" if all of them support it, "does not hold" if at least one contradicts it, else
    "inconclusive".

    >>> combined_verdict(["beats", "inconclusive"], {"beats"})
    'inconclusive'
    """
    others = set(verdicts) - set(supporting)
    if not others:
        return "holds"
    return "inconclusive" if others == {"inconclusive"} else "does not hold"


def judge_shares(shares: Mapping[str, Mapping[str, float]]) -> tuple[list[Finding], str]:
    """Judge the claim that costs fall with the number of trainable parameters.

    Args:
        shares: by benchmark the shares of full fine-tuning's "trainable", "memory" and "flops".

    Returns:
        A finding per benchmark, and the verdict: "does not hold" if memory and operations are
        everywhere more than twice the share of the parameters.
    """
    findings = [
        Finding(
            bench,
            f"{share['trainable']:.1%} of the parameters, {share['memory']:.0%} of the bytes, "
            f"{share['flops']:.0%} of the FLOPs",
        )
        for bench, share in shares.items()
    ]
    excesses = [
        min(share["memory"], share["flops"]) / share["trainable"] for share in shares.values()
    ]
    return findings, "does not hold" if min(excesses) > 2 else "holds"
