"""Pre-registration: write down and seal the question and the decision rule before the first run."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ftkit.stats.paired import FEWEST, diverged, interval, sign_flip, verdict
from ftkit.storage import write_json


@dataclass(frozen=True)
class Plan:
    """What will be compared, and by which rule.

    Args:
        hypothesis: a sentence that can be wrong.
        metric: what is measured, and on which split.
        budget: what both methods get the same amount of.
        margin: the smallest difference that matters, above 0, in the unit of the metric.
        seeds: shared by both methods, at least eight.
        family: the number of comparisons in all; p is multiplied by it (Bonferroni).

    Raises:
        ValueError: an empty sentence, a margin that is not above 0, fewer than eight seeds, a seed
            that is there twice, or a family below 1.
    """

    hypothesis: str
    metric: str
    budget: str
    margin: float
    seeds: tuple[int, ...]
    family: int = 1

    def __post_init__(self) -> None:
        for name in ("hypothesis", "metric", "budget"):
            if not getattr(self, name).strip():
                raise ValueError(
                    f"the {name} must be written down, got nothing; "
                    "a plan that leaves it open can be bent afterwards"
                )
        if self.margin <= 0:
            raise ValueError(
                f"the margin must be above 0, got {self.margin}; say which difference would matter"
            )
        if len(set(self.seeds)) < max(FEWEST, len(self.seeds)):
            raise ValueError(
                f"there must be at least {FEWEST} seeds, each once, got {list(self.seeds)}; "
                "with fewer every verdict is inconclusive"
            )
        if self.family < 1:
            raise ValueError(
                f"the family must count this comparison, got {self.family}; "
                "write 1 for a single comparison"
            )

    @property
    def seal(self) -> str:
        """Sixteen hexadecimal digits that change with every letter of the plan."""
        content = json.dumps(asdict(self), sort_keys=True).encode()
        return hashlib.blake2b(content, digest_size=8).hexdigest()

    def write(self, path: Path) -> str:
        """Write the plan and return its seal. The same plan may be written again, no other one.

        Raises:
            ValueError: the file holds another plan.
        """
        if path.exists() and read(path) != self:
            raise ValueError(
                f"a plan must not be replaced, got another one for {path.name}; "
                "write a new question to a new file"
            )
        write_json(path, {**asdict(self), "seal": self.seal})
        return self.seal

    def decide(self, differences: Sequence[float]) -> str:
        """Apply the rule to paired differences, one a seed.

        "beats" and "loses" need a mean beyond the margin, and p, times the family, below 0.05. With
        a run that diverged, whose difference is nan, it is inconclusive.

        Returns:
            "beats", "loses", "ties" or "inconclusive", with mean, interval and p.

        Raises:
            ValueError: another number of differences than of planned seeds.
        """
        if len(differences) != len(self.seeds):
            raise ValueError(
                f"there must be one difference for each of {len(self.seeds)} planned seeds, "
                f"got {len(differences)}; run exactly these seeds"
            )
        if note := diverged(differences):
            return f"inconclusive: {note}, {len(differences)} seeds, plan {self.seal}"
        mean, low, high = interval(differences)
        p = min(1.0, self.family * sign_flip(differences))
        says = verdict(differences, self.margin)
        if says in ("beats", "loses") and p >= 0.05:
            says = "inconclusive"
        return (
            f"{says}: {mean:+.4f} [{low:+.4f}, {high:+.4f}], p = {p:.3f}, "
            f"{len(differences)} seeds, plan {self.seal}"
        )


def read(path: Path) -> Plan:
    """Read a plan from a file.

    Raises:
        ValueError: the file was changed after it was sealed, or is not a plan.
    """
    try:
        content = json.loads(path.read_text(encoding="utf8"))
        seal = content.pop("seal")
        plan = Plan(**{**content, "seeds": tuple(content["seeds"])})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path.name} must be a plan that `Plan.write` wrote, got something else ({error}); "
            "write the plan again"
        ) from None
    if plan.seal != seal:
        raise ValueError(
            f"{path.name} must be unchanged since it was sealed, got another text "
            f"({plan.seal}, sealed {seal}); write a new plan instead"
        )
    return plan
