"""A pre-registration: what is asked, by which rule it will be decided, written down and sealed before the first run."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ftkit.stats.paired import FEWEST, interval, sign_flip, verdict
from ftkit.storage import write_json


@dataclass(frozen=True)
class Plan:
    """What will be compared and how it will be judged.

    Args:
        hypothesis: a sentence that can be wrong.
        metric: what is measured, and on which split.
        budget: what both sides get alike.
        margin: the difference that matters, above 0, in the metric's own unit.
        seeds: shared by both sides, at least eight.
        family: how many comparisons are made in all; p is multiplied by it (Bonferroni).

    Raises:
        ValueError: an empty sentence, a margin that is not above 0, fewer than eight seeds or one twice, or a family below 1.
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
                    f"the {name} must be said, got nothing; a plan that leaves it open can be bent afterwards"
                )
        if self.margin <= 0:
            raise ValueError(
                f"the margin must be above 0, got {self.margin}; say which difference would matter"
            )
        if len(set(self.seeds)) < max(FEWEST, len(self.seeds)):
            raise ValueError(
                f"there must be at least {FEWEST} seeds, each once, got {list(self.seeds)}; fewer inconclusive"
            )
        if self.family < 1:
            raise ValueError(
                f"the family must count this comparison, got {self.family}; 1 is a single one"
            )

    @property
    def seal(self) -> str:
        """Sixteen hexadecimal digits that change with every letter of the plan."""
        return hashlib.blake2b(
            json.dumps(asdict(self), sort_keys=True).encode(), digest_size=8
        ).hexdigest()

    def write(self, path: Path) -> str:
        """Writes the plan, once, and returns its seal; the same plan may be written again.

        Raises:
            ValueError: another plan is there.
        """
        if path.exists() and read(path) != self:
            raise ValueError(
                f"a plan that was written must stay, got another for {path.name}; a new question gets a new file"
            )
        write_json(path, {**asdict(self), "seal": self.seal})
        return self.seal

    def decide(self, differences: Sequence[float]) -> str:
        """The plan's answer to one difference a seed: "beats", "loses", "ties" or "inconclusive", with mean, interval and p.

        "beats" and "loses" need p, times the family, below 0.05, and a mean beyond the margin.

        Raises:
            ValueError: other seeds than were planned.
        """
        if len(differences) != len(self.seeds):
            raise ValueError(
                f"there must be one difference for each of {len(self.seeds)} planned seeds, got {len(differences)}"
            )
        mean, low, high = interval(differences)
        p = min(1.0, self.family * sign_flip(differences))
        says = verdict(differences, self.margin)
        says = "inconclusive" if says in ("beats", "loses") and p >= 0.05 else says
        return f"{says}: {mean:+.4f} [{low:+.4f}, {high:+.4f}], p = {p:.3f}, {len(differences)} seeds, plan {self.seal}"


def read(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        ValueError: the file was changed after it was sealed, or is no plan.
    """
    try:
        said = json.loads(path.read_text(encoding="utf8"))
        seal = said.pop("seal")
        plan = Plan(**{**said, "seeds": tuple(said["seeds"])})
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path.name} must be a plan that was written with write, got something else ({error})"
        ) from None
    if plan.seal != seal:
        raise ValueError(
            f"{path.name} must be as it was sealed, got another text ({plan.seal}, sealed {seal}); a plan is not mended afterwards"
        )
    return plan
