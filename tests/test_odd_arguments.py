"""Odd values for every parameter of every public callable.

Each is refused in the kit's form, by the kit's own code, or it is a value that the parameter's
domain has: then the call returns, and its numbers are finite. Nothing hangs.
"""

import dataclasses
import inspect
import math
import re
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.fake_trials import cost_event
from helpers.nets import net
from helpers.several_tasks import joint, third, tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ftkit
from ftkit import (
    IA3,
    AdaLoRA,
    Adapted,
    Batch,
    BitFit,
    Change,
    Chosen,
    Delta,
    Dense,
    Distillation,
    Diverged,
    DoRA,
    Event,
    Explorer,
    GradNorm,
    LastBlocks,
    LoRA,
    LoRAFA,
    LoRAPlus,
    Mixture,
    Net,
    Only,
    PCGrad,
    PiSSA,
    Pruning,
    Recorded,
    Rows,
    RsLoRA,
    Sparse,
    SparseEach,
    Stored,
    Teacher,
    Together,
    Uncertainty,
    VeRA,
    Weighted,
    agreement,
    bootstrap,
    cosines,
    crossed,
    discriminative,
    divergence,
    draw,
    equivalence,
    evaluate,
    expected_best,
    family,
    fisher,
    front,
    gradient,
    grid,
    holm,
    improvement,
    interval,
    load_base,
    load_task,
    measure,
    movement,
    pareto_front,
    proportion,
    proportional,
    pseudo_labelled,
    regrown,
    replay,
    share_of_gain,
    sign_flip,
    student,
    supervised,
    sweep,
    top,
    top_each,
    train,
    unlabelled,
    verdict,
    with_biases,
)

SECONDS = 5
"""The longest that a call may take."""
KIT = str(Path(ftkit.__file__).parent)
FORM = re.compile(
    r"must .*, got .*; .+"  # the kit's form of an error
    r"|^no weight fits .*; the nearest names are .+"  # a pattern that matches nothing
    r"|; try a smaller lr than .+",  # `Diverged`
    re.DOTALL,
)


def nothing(*arguments: Any, **settings: Any) -> Iterator[Any]:
    """A function that takes all and gives nothing."""
    yield from ()


ODD: list[Any] = [
    *(math.nan, math.inf, -math.inf, -1, 0, 1, 2, 0.5, 2.5, -0.5, 1.0, 1e-300, 1e30, 1e300),
    *(10**6, 10**12, 2**64, -(2**64), 10**400, -(10**400), True, False, None, 1j, b"x"),
    *(
        "",
        " ",
        "x",
        "4",
        "nan",
        "auto",
        "PCGrad",
        "body.*",
        "train",
        "text",
        "*",
        "\x1b[31m",
        "é" * 500,
    ),
    *(
        [],
        (),
        {},
        set(),
        [1],
        [0.5, 0.25],
        [math.nan],
        [[1, 2], [3]],
        ["x"],
        [None],
        {"x": 1},
        range(3),
    ),
    *(np.float64(2.5), np.float32(0.5), np.int64(3), np.float32("nan"), np.bool_(True)),
    *(np.array([0.5, 0.25]), np.array([]), np.array(1.0), np.array(["x"]), np.eye(3)),
    *(torch.tensor(1.0), torch.ones(2), torch.ones(2, 3), torch.tensor([]), torch.tensor([True])),
    *(pd.Series([0.5, 0.25]), pd.DataFrame({"x": [1]}), Fraction(1, 2), Decimal("0.5"), object()),
    *(
        int,
        LoRA,
        PCGrad,
        Ellipsis,
        NotImplemented,
        LoRA(2),
        nothing,
        Path("/nowhere"),
        ValueError("x"),
    ),
]
ANY = (
    st.sampled_from(ODD)
    | st.floats()
    | st.integers()
    | st.text(max_size=8)
    | st.lists(st.floats() | st.integers() | st.booleans() | st.none(), max_size=4)
    | st.dictionaries(st.text(max_size=3), st.floats(), max_size=2)
)

Domain = Callable[[Any], bool | None]
"""Whether a value is right; None where both are, to refuse it and to take it."""


def either(value: Any) -> None:
    """No statement: the call may refuse the value, in the kit's form, or take it."""


def never(value: Any) -> bool:
    return False


def whole(least: int, most: float = math.inf) -> Domain:
    return lambda value: (
        isinstance(value, int | np.integer)
        and not isinstance(value, bool)
        and least <= value <= most
    )


def real(least: float = -math.inf, most: float = math.inf, above: float = -math.inf) -> Domain:
    def is_right(value: Any) -> bool:
        if not isinstance(value, int | float | np.integer | np.floating) or isinstance(value, bool):
            return False
        if isinstance(value, int) and abs(value) > 10**308:
            return False
        size = float(value)
        return math.isfinite(size) and least <= size <= most and size > above

    return is_right


def optional(domain: Domain) -> Domain:
    return lambda value: value is None or domain(value)


def one_of(*choices: str) -> Domain:
    return lambda value: isinstance(value, str) and value in choices


def text(value: Any) -> bool:
    return isinstance(value, str)


def empty(value: Any) -> bool:
    return isinstance(value, dict) and not value


def function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


SEED, SHARE, LEVEL = whole(0, 2**63 - 1), real(0, 1), real(0, 1 - 1e-16, above=0)
DENSITY = real(most=1, above=0)
RANK, ALPHA = whole(1, 2**16), real(most=1e6, above=0)
Arguments = dict[str, tuple[Any, Domain]]
"""For each parameter a good value, or a function that makes one, and its domain."""


@dataclasses.dataclass(frozen=True)
class Fresh:
    """A good value that each call gets anew."""

    make: Callable[[], Any]


@lru_cache
def base() -> Net:
    return net("bert", tiny(), third())


@lru_cache
def csv_file() -> Path:
    """A small file of texts and labels."""
    path = Path(tempfile.mkdtemp()) / "small.csv"
    path.write_text("text,label\n" + "".join(f"text {i},{'ab'[i % 2]}\n" for i in range(20)))
    return path


@lru_cache
def adapted() -> Adapted:
    return Adapted(base(), Only("heads.*"))


def everything() -> Adapted:
    return Adapted(base(), Only("*"))


@lru_cache
def sparse() -> Adapted:
    return Adapted(base(), Sparse(0.01))


@lru_cache
def teacher() -> Teacher:
    return Teacher(base())


def batch() -> Batch:
    return tiny().batch("train", torch.arange(4))


@lru_cache
def scores() -> dict[str, torch.Tensor]:
    names = [name for name, _ in base().named_parameters() if name.startswith("body.")]
    weights = dict(base().named_parameters())
    return {name: weights[name].detach().abs() for name in names}


def fake_trial(rank: int = 1, seed: int = 0, **others: Any) -> Iterator[Event]:
    yield Event(1, "valid", {"valid/accuracy": 0.5, "valid/loss": 1.0})
    yield cost_event(1, 10.0)


@lru_cache
def recorded_table() -> pd.DataFrame:
    return sweep(fake_trial, grid(rank=[1, 2], seed=[0, 1], bench=["here"], lr=[0.1]))


@lru_cache
def panel() -> Explorer:
    return Explorer(fake_trial, rank=[1, 2], title="of the fuzz test")


def applied(make: Callable[..., Any]) -> Callable[..., Any]:
    """Make a space, and adapt a network with it."""

    def call(**arguments: Any) -> Any:
        space = make(**arguments)
        model = Adapted(base(), space)
        with torch.no_grad():
            assert torch.equal(model(batch()), base()(batch())), "a new change is no change"
        return space

    return call


def drained(**arguments: Any) -> Any:
    """Train, and look at the end."""
    model = Adapted(base(), Only("heads.*"))
    good = {"model": model, "data": tiny(), "size": 4}
    events = list(islice(train(**{**good, **arguments}), 6))
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    return events


def low_rank(alpha: Domain = ALPHA, **others: tuple[Any, Domain]) -> Arguments:
    return {
        "rank": (2, RANK),
        "alpha": (8.0, alpha),
        "where": ("body.*", either),
        **others,
    }


def chosen_entries(make: Callable[..., Any]) -> tuple[Callable[..., Any], Arguments]:
    return applied(make), {
        "density": (0.01, DENSITY),
        "criterion": ("random", one_of("random", "largest", "smallest")),
        "where": ("body.*", either),
        "seed": (0, SEED),
    }


SAMPLE = [0.03, 0.02, 0.04, 0.01, 0.02, 0.03, 0.02, 0.01]


def sample(least: int = 1) -> Domain:
    """A list of finite numbers, in any form."""

    def is_right(value: Any) -> bool:
        if isinstance(value, torch.Tensor | np.ndarray):
            numeric = not str(value.dtype).endswith("bool") and str(value.dtype)[0] in "fit"
            return numeric and value.ndim == 1 and _finite(value.tolist(), least)
        if isinstance(value, pd.Series):
            return _finite(value.tolist(), least)
        return isinstance(value, list | tuple | range) and _finite(value, least)

    return is_right


def _finite(values: Any, least: int) -> bool:
    numbers = [
        isinstance(each, int | float) and not isinstance(each, bool) and abs(each) <= 1e50
        for each in values
    ]
    return len(numbers) >= least and all(numbers)


def of_length(length: int) -> Domain:
    return lambda value: bool(sample(0)(value)) and len(value) == length


CASES: dict[str, tuple[Callable[..., Any], Arguments]] = {
    # spaces
    "LoRA": (applied(LoRA), low_rank(alpha=optional(ALPHA))),
    "RsLoRA": (applied(RsLoRA), low_rank()),
    "LoRAPlus": (
        applied(LoRAPlus),
        low_rank(alpha=optional(ALPHA), ratio=(4.0, ALPHA)),
    ),
    "LoRAFA": (applied(LoRAFA), low_rank(alpha=optional(ALPHA), seed=(0, SEED))),
    "DoRA": (lambda **given: DoRA(**given), low_rank(alpha=optional(ALPHA), where=("*", either))),
    "PiSSA": (
        lambda **given: Adapted(base(), PiSSA(**given)),
        low_rank(alpha=optional(ALPHA), rank=(2, lambda value: whole(1, 16)(value))),
    ),
    "AdaLoRA": (applied(AdaLoRA), low_rank(alpha=optional(ALPHA))),
    "VeRA": (
        applied(VeRA),
        {
            **{name: each for name, each in low_rank().items() if name != "alpha"},
            "start": (0.1, real(-1e6, 1e6)),
            "seed": (0, SEED),
        },
    ),
    "IA3": (
        lambda where: Adapted(net("mini"), IA3(where)),
        {"where": ("body.*", either)},
    ),
    "BitFit": (applied(BitFit), {"where": ("body.*.bias", either)}),
    "Only": (applied(Only), {"where": ("*", either)}),
    "LastBlocks": (applied(LastBlocks), {"count": (1, whole(0, 2))}),
    "Sparse": chosen_entries(Sparse),
    "SparseEach": chosen_entries(SparseEach),
    "Rows": chosen_entries(Rows),
    "Chosen": (
        lambda entries: applied(Chosen)(entries=entries),
        {"entries": ({"heads.tiny.bias": torch.tensor([0])}, never)},
    ),
    "Change": (Change, {}),
    "Dense": (Dense, {"weight": (torch.ones(2), lambda value: _floats(value))}),
    # bases and models
    "load_base": (
        lambda name, tasks, **given: load_base(name, tasks, **given),
        {
            "name": ("mini", never),
            "tasks": (tiny(), never),
            "seed": (0, SEED),
            "dtype": ("float32", lambda value: isinstance(value, torch.dtype) or None),
            "device": ("cpu", either),
        },
    ),
    "load_task": (
        lambda **given: load_task(**given),
        {
            "name": (csv_file(), never),
            "permute": (0.0, lambda value: value == 0 if real()(value) else False),
            "text": ("text", either),
            "label": ("label", either),
            "seed": (0, SEED),
            "sep": (",", optional(either)),
            "columns": (None, optional(either)),
        },
    ),
    "Net": (
        lambda **given: Net(**given),
        {
            "name": ("x", either),
            "body": (base().body, lambda value: isinstance(value, torch.nn.Module)),
            "reader": (base().reader, either),
            "tasks": ((tiny(),), lambda value: value == () if isinstance(value, tuple) else None),
            "seed": (0, SEED),
            "pooling": ("mean", one_of("mean", "cls")),
            "unused_weights": ((), either),
        },
    ),
    "Net.fresh_heads": (base().fresh_heads, {"seed": (0, SEED)}),
    "Net.untrained": (base().untrained, {"seed": (0, SEED)}),
    "Adapted": (
        lambda base, spaces, seed: Adapted(base, spaces, seed=seed),
        {
            "base": (base(), never),
            "spaces": (LoRA(2), lambda value: isinstance(value, LoRA)),
            "seed": (0, SEED),
        },
    ),
    "Adapted.trainable": (adapted().trainable, {"prefix": ("body.", text)}),
    "Adapted.trains": (adapted().trains, {"prefix": ("body.", text)}),
    "Delta": (
        Delta,
        {"changed": ({"w": torch.ones(2)}, empty)},
    ),
    "Delta.*": (
        lambda factor: (0.5 * Delta({"w": torch.ones(2)}) * factor, factor * Delta({}))[0].norm(),
        {
            "factor": (
                0.5,
                lambda value: (
                    value.ndim == 0 if isinstance(value, torch.Tensor) else real(-1e30, 1e30)(value)
                ),
            )
        },
    ),
    "Delta.+": (lambda other: Delta({"w": torch.ones(2)}) + other, {"other": (Delta({}), never)}),
    "Delta.-": (lambda other: Delta({"w": torch.ones(2)}) - other, {"other": (Delta({}), never)}),
    "Delta.on": (Delta({}).on, {"base": (base(), never)}),
    "with_biases": (with_biases, {"net": (base(), never)}),
    "student": (
        student,
        {
            "net": (base(), never),
            "blocks": (
                [0],
                lambda value: (
                    isinstance(value, list | tuple | range)
                    and list(value) in ([0], [1], [0, 1])
                    and all(map(whole(0), value))
                ),
            ),
            "seed": (None, optional(SEED)),
        },
    ),
    "discriminative": (
        lambda **given: discriminative(**given)("body.embeddings.x"),
        {
            "net": (base(), never),
            "lr": (0.1, lambda value: None if real(1e300)(value) else real(0)(value)),
            "decay": (2.6, real(1e-3, 1e3)),
        },
    ),
    # scores
    "top": (top, {"scores": (scores(), never), "density": (0.1, DENSITY)}),
    "top_each": (top_each, {"scores": (scores(), never), "density": (0.1, DENSITY)}),
    "gradient": (
        gradient,
        {
            "model": (base(), never),
            "batches": ([batch()], never),
            "where": ("body.*", either),
            "objective": (supervised, never),
        },
    ),
    "fisher": (
        fisher,
        {
            "model": (base(), never),
            "batches": ([batch()], never),
            "where": ("body.*", either),
            "objective": (supervised, never),
        },
    ),
    "movement": (
        movement,
        {"delta": (Delta({"body.w": torch.ones(2)}), never), "where": ("body.*", either)},
    ),
    "regrown": (
        regrown,
        {
            "model": (sparse(), never),
            "scores": (scores(), never),
            "share": (0.2, SHARE),
        },
    ),
    "Pruning": (
        lambda **given: Pruning(**given).left(3),
        {
            "model": (Adapted(base(), AdaLoRA(2)), never),
            "keep": (3, whole(0, 24)),
            "steps": (10, whole(1, 10**9)),
            "begin": (0.1, lambda value: real(0, 0.59)(value)),
            "end": (0.6, lambda value: real(0.11, 1)(value)),
            "smoothing": (0.85, lambda value: real(0, 0.999)(value)),
        },
    ),
    # tasks and data
    "Task.take": (
        tiny().take,
        {"count": (4, whole(1, 24)), "seed": (0, SEED)},
    ),
    "Task.batches": (
        lambda **given: list(islice(tiny().batches(**given), 2)),
        {
            "size": (4, whole(1)),
            "generator": (Fresh(torch.Generator), never),
        },
    ),
    "Task.batch": (
        tiny().batch,
        {"stage": ("train", one_of("train", "valid", "test")), "rows": (torch.arange(3), never)},
    ),
    "Task.labels": (tiny().labels, {"stage": ("train", one_of("train", "valid", "test"))}),
    "Task.split": (tiny().split, {"stage": ("train", one_of("train", "valid", "test"))}),
    "Mixture": (
        lambda **given: next(Mixture(**given).batches(4, torch.Generator())),
        {
            "tasks": ((tiny(), third()), never),
            "shares": (
                (1, 3),
                lambda value: (
                    isinstance(value, list | tuple)
                    and len(value) == 2
                    and all(real(0, 1e12)(each) for each in value)
                    and any(value)
                ),
            ),
        },
    ),
    "Together": (lambda tasks: Together(tasks), {"tasks": ((tiny(), third()), never)}),
    "proportional": (proportional, {"tasks": ([tiny()], never), "exponent": (0.5, SHARE)}),
    "cosines": (
        cosines,
        {
            "model": (Adapted(base(), LoRA(2)), never),
            "joint": (joint(), never),
            "group": (str, either),
        },
    ),
    "unlabelled": (unlabelled, {"task": (tiny(), never), "keep": (3, whole(0, 24))}),
    "pseudo_labelled": (
        pseudo_labelled,
        {"teacher": (teacher(), never), "task": (tiny(), never)},
    ),
    "Teacher": (Teacher, {"model": (base(), function)}),
    "Stored": (
        Stored,
        {"keys": (torch.arange(2), either), "logits": (torch.ones(2, 3), either)},
    ),
    # objectives
    "supervised": (supervised, {"model": (base(), never), "batch": (batch(), never)}),
    "Distillation": (
        lambda **given: Distillation(**given)(base(), batch()),
        {
            "teacher": (teacher(), never),
            "temperature": (4.0, real(1e-6, 1e6)),
            "weight": (0.5, SHARE),
        },
    ),
    "divergence": (
        divergence,
        {
            "student": (torch.zeros(2, 3), lambda value: _logits(value, (2, 3))),
            "teacher": (torch.ones(2, 3), lambda value: _logits(value, (2, 3))),
            "temperature": (4.0, real(1e-6, 1e6)),
        },
    ),
    "agreement": (
        agreement,
        {
            "student": (torch.zeros(2, 3), lambda value: _logits(value, (2, 3))),
            "teacher": (torch.ones(2, 3), lambda value: _logits(value, (2, 3))),
        },
    ),
    "Weighted": (
        lambda weights: Weighted(weights)(base(), batch()),
        {"weights": ({"tiny": 1.0}, empty)},
    ),
    "Uncertainty": (Uncertainty, {"tasks": ([tiny()], never)}),
    "PCGrad": (PCGrad, {"seed": (0, SEED)}),
    "GradNorm": (GradNorm, {"alpha": (1.5, real(0, 100)), "lr": (0.025, real(0, 10))}),
    # training
    "train": (
        drained,
        {
            "model": (Fresh(lambda: Adapted(base(), Only("heads.*"))), never),
            "data": (tiny(), never),
            "steps": (2, whole(1, 10**9)),
            "lr": (0.1, lambda value: None if function(value) else real(0)(value)),
            "head_lr": (0.1, lambda value: None if real(1e30)(value) else real(0)(value)),
            "size": (4, whole(1)),
            "objective": (supervised, never),
            "seed": (0, SEED),
            "validations": (1, whole(0, 10**5)),
            "valid_rows": (4, whole(1)),
            "probe": (None, lambda value: None if function(value) else value is None),
        },
    ),
    "evaluate": (
        evaluate,
        {
            "model": (adapted(), never),
            "data": (tiny(), never),
            "stage": ("test", one_of("train", "valid", "test")),
            "rows": (4, optional(whole(1))),
        },
    ),
    "measure": (
        measure,
        {
            "model": (adapted(), never),
            "batch": (batch(), never),
            "objective": (supervised, never),
            "repeats": (1, whole(1, 1000)),
        },
    ),
    # statistics
    "interval": (interval, {"values": (SAMPLE, sample()), "level": (0.95, LEVEL)}),
    "sign_flip": (sign_flip, {"differences": (SAMPLE, sample())}),
    "holm": (holm, {"p": (SAMPLE, lambda value: None if sample(0)(value) else False)}),
    "verdict": (verdict, {"differences": (SAMPLE, sample()), "margin": (0.01, real(above=0))}),
    "equivalence": (
        equivalence,
        {"differences": (SAMPLE, sample(2)), "margin": (0.01, real(above=0))},
    ),
    "family": (
        lambda **given: family(**given),
        {
            "differences": ({"a": SAMPLE}, empty),
            "margin": (0.01, real(above=0)),
        },
    ),
    "family of": (
        lambda values: family({"a": values})["a"].verdict,
        {"values": (SAMPLE, lambda value: None if not sample()(value) else True)},
    ),
    "crossed": (crossed, {"differences": (np.eye(3), either), "level": (0.95, LEVEL)}),
    "bootstrap": (
        bootstrap,
        {
            "differences": (np.eye(3), either),
            "level": (0.95, LEVEL),
            "draws": (10, lambda value: None if whole(10**5)(value) else whole(1)(value)),
            "seed": (0, SEED),
        },
    ),
    "proportion": (
        proportion,
        {"right": (1, whole(0, 2)), "of": (2, whole(1, 10**9)), "level": (0.95, LEVEL)},
    ),
    "expected_best": (
        expected_best,
        {"values": (SAMPLE, sample()), "trials": (2, whole(1, 10**9))},
    ),
    "improvement": (improvement, {"first": (SAMPLE, sample()), "second": (SAMPLE, sample())}),
    "pareto_front": (
        pareto_front,
        {"costs": ([1, 2], of_length(2)), "scores": ([1, 2], of_length(2))},
    ),
    "front": (front, {"costs": ([1, 2], of_length(2)), "scores": ([1, 2], of_length(2))}),
    "share_of_gain": (
        lambda **given: share_of_gain(**given)[0],
        {
            "method": ([0.1, 0.2], of_length(2)),
            "frozen": ([0.0, 0.1], of_length(2)),
            "full": ([0.3, 0.5], of_length(2)),
            "level": (0.95, LEVEL),
        },
    ),
    # experiments and panels
    "grid": (lambda values: len(grid(values=values)), {"values": ([1, 2], either)}),
    "sweep": (
        sweep,
        {
            "trial": (fake_trial, function),
            "jobs": ([{"rank": 1, "seed": 0}], lambda value: _jobs(value)),
            "executor": (None, optional(never)),
            "keep": (["valid"], lambda value: _texts(value)),
        },
    ),
    "replay": (replay, {"table": (recorded_table(), never)}),
    "Recorded": (
        Recorded,
        {
            "table": (recorded_table(), never),
            "method": ("LoRA", text),
            "over": ("rank", never),
            "scope": (
                ("bench",),
                lambda value: isinstance(value, list | tuple | range) and not len(value),
            ),
            "baselines": (None, lambda value: value is None or _shares(value)),
        },
    ),
    "Explorer": (
        lambda trial, **given: Explorer(trial, **given),
        {
            "trial": (fake_trial, function),
            "steps": (None, optional(whole(1, 10**9))),
            "recorded": (None, optional(never)),
            "picture": (None, optional(function)),
            "start": (None, either),
            "name": ("LoRA", never),
            "title": ("", text),
            "settings": ([1, 2], either),
        },
    ),
    "Explorer.load": (panel().load, {"text": ("rank=2&seed=1", never)}),
    "Explorer.set": (
        panel().set,
        {
            "rank": (1, lambda value: _rank_of_panel(value)),
            "seed": (0, either),
        },
    ),
    "Explorer.wait": (panel().wait, {"timeout": (1.0, real(0, 3.2e7))}),
    "draw": (draw, {"figure": ({"data": []}, either), "alt": ("a figure", text)}),
}
"""Every public callable with good arguments, and the domain of each parameter."""


def _floats(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _logits(value: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(value, torch.Tensor) and tuple(value.shape) == shape


def _rank_of_panel(value: Any) -> bool | None:
    """True is 1 for a control, and the result is that of 1."""
    if isinstance(value, bool | np.bool_):
        return None
    return isinstance(value, int | float | np.integer | np.floating) and value in (1, 2)


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple | range) and all(isinstance(each, str) for each in value)


def _jobs(value: Any) -> bool:
    return isinstance(value, list | tuple | range) and not len(value)


def _shares(value: Any) -> bool:
    return isinstance(value, dict) and all(map(SHARE, value.values()))


NOT_HERE = {
    "Batch": "a container; what reads it checks it",
    "Cost": "a result",
    "Event": "a result",
    "Diverged": "an error",
    "Task": "a container; tests/tasks checks how tasks are made",
    "Space": "a protocol",
}
PAIRS = [(name, parameter) for name, (_, arguments) in CASES.items() for parameter in arguments]
COUNTS: Counter[tuple[str, str]] = Counter()
"""The outcomes so far, by callable; `python tests/test_odd_arguments.py` prints them."""


def test_every_public_callable_and_parameter_is_here() -> None:
    for name in ftkit.__all__:
        if name in NOT_HERE:
            continue
        public = getattr(ftkit, name)
        skipped = {"self", "args", "kwargs"}
        assert set(inspect.signature(public).parameters) - skipped <= set(CASES[name][1]), name


@pytest.fixture(autouse=True)
def headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTKIT_HEADLESS", "1")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: drained(lr=math.nan), "lr and head_lr must be a finite number, got nan; leave a"),
        (lambda: drained(head_lr=math.inf), "lr and head_lr must be a finite number, got inf"),
        (
            lambda: next(train(everything(), tiny(), lr=lambda name: "x")),
            "lr and head_lr must be a finite number, got 'x'",
        ),
        (lambda: drained(lr=float), "lr must be a function .*, got the class float; make an obj"),
        (lambda: drained(steps=2.5), "steps must be a whole number, got 2.5; leave train out"),
        (lambda: drained(steps=2.0), "steps must be a whole number, got 2.0"),
        (lambda: drained(size=0), "size must be at least 1, got 0; it counts the rows"),
        (lambda: drained(seed=2.5), "seed must be a whole number, got 2.5"),
        (lambda: drained(seed="a"), "seed must be a whole number, got 'a'"),
        (lambda: drained(seed=-1), "seed must be at least 0, got -1"),
        (lambda: drained(validations=10**12), "validations must be at most 100000, got 1000000"),
        (lambda: drained(valid_rows=0), "valid_rows must be at least 1, got 0; for no validation"),
        (lambda: drained(objective="PCGrad"), "objective must be a function .*, got 'PCGrad'"),
        (lambda: drained(objective=PCGrad), r"got the class PCGrad; .* such as PCGrad\(...\)"),
        (lambda: drained(objective=lambda *_: torch.ones(())), "must return {term: .*, got Tensor"),
        (lambda: drained(data="docs"), "data must be a task, .*, got 'docs'; load_task"),
        (lambda: next(train(base(), tiny())), "model must be an Adapted, got Net; write Adapted"),
        (lambda: evaluate(adapted(), tiny(), rows=0), "rows must be at least 1, got 0; leave it"),
        (lambda: measure(adapted(), batch(), repeats=0), "repeats must be at least 1, got 0"),
        (lambda: Weighted([]), r"weights must be {task name: weight}, got \[\]; Weighted\(\) is"),
        (lambda: student(base(), 0), "blocks must be some of 0 to 1, each once .*, got 0; give"),
        (lambda: load_base("mini", "docs"), "tasks must hold tasks, got 'docs' at position 0; "),
        (lambda: Adapted(base(), LoRA), "each space must be an object such .* got the class LoRA"),
        (lambda: Explorer(fake_trial, name="x", rank=[1]), "name must be one of .*, got 'x'; "),
        (
            lambda: fisher(base(), tiny().batches(4, torch.Generator())),
            "batches must have an end, got all of Task.batches; islice",
        ),
        (lambda: LoRA(-1), "rank must be at least 1, got -1; for no change at all, leave LoRA out"),
        (lambda: DoRA("4"), "rank must be a whole number, got '4'; it counts directions"),
        (lambda: VeRA(True), "rank must be a whole number, got True"),
        (lambda: PiSSA(10**12), "rank must be at most 65536, got 1000000000000"),
        (lambda: RsLoRA(4, None), "alpha must be a finite number, got None; 8 is the default"),
        (lambda: Sparse(True), "density must be a number above 0 and at most 1, got True"),
        (lambda: Rows(0.1, "biggest"), "criterion must be one of random, largest, smallest, got"),
        (lambda: Only(3), "where must be a string of patterns with commas between, got 3; "),
    ],
)
def test_the_message_says_what_to_do(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_weights_that_are_not_finite_after_the_last_step_are_an_error() -> None:
    """The loss of the last step is finite; no further one would show it."""
    model = everything()
    with pytest.raises(Diverged, match="a parameter is not finite after step 1; try a smaller lr"):
        list(train(model, tiny(), steps=1, lr=1e300, size=4, validations=0))


@pytest.mark.parametrize("name", CASES)
def test_the_good_arguments_are_good(name: str) -> None:
    call, arguments = CASES[name]
    call(**{parameter: _made(good) for parameter, (good, _) in arguments.items()})


@pytest.mark.parametrize(("name", "parameter"), PAIRS, ids=[f"{name}-{of}" for name, of in PAIRS])
def test_each_odd_value_is_refused_in_the_kits_form_or_right(name: str, parameter: str) -> None:
    for value in ODD:
        attempt(name, parameter, value)


@settings(
    max_examples=3000,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(pair=st.sampled_from(PAIRS), value=ANY)
def test_so_is_any_other(pair: tuple[str, str], value: Any) -> None:
    attempt(*pair, value)


def attempt(name: str, parameter: str, value: Any) -> None:
    """Call with one odd value, and judge what happens."""
    call, arguments = CASES[name]
    said = f"{name}({parameter}={_short(value)})"
    is_right = arguments[parameter][1](value)
    good = {key: _made(each) for key, (each, _) in arguments.items()}
    error, result = _outcome(call, {**good, parameter: value}, said)
    COUNTS[name, "refused" if error else "accepted"] += 1
    if error is None:
        assert is_right is not False, f"{said} is not right, and accepted"
        assert _is_finite(result), f"{said} gives {result}"
        return
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    is_own = innermost.startswith(KIT) and isinstance(error, ValueError | TypeError | Diverged)
    assert is_own and FORM.search(str(error)), f"{said} ends in a foreign {error!r}"
    # A right learning rate may be too large for the run.
    assert not is_right or isinstance(error, Diverged), f"{said} is right, and refused: {error}"


def _outcome(
    call: Callable[..., Any], arguments: Arguments, said: str
) -> tuple[Exception | None, Any]:
    """The error and the result of a call."""
    try:
        with _limited(said), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return None, call(**arguments)
    except Exception as error:
        return error, None


def _made(good: Any) -> Any:
    return good.make() if isinstance(good, Fresh) else good


def _short(value: Any) -> str:
    try:
        return repr(value)[:80]
    except ValueError:
        return "an integer of more than 4,300 digits"


@contextmanager
def _limited(said: str) -> Iterator[None]:
    """End what takes longer than `SECONDS`."""

    def late(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{said} takes longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _is_finite(result: Any) -> bool:
    """Whether every number of a result is finite; the interval of one value may be nan."""
    if isinstance(result, float):
        return math.isfinite(result)
    if isinstance(result, torch.Tensor):
        return bool(result.isfinite().all())
    if isinstance(result, Mapping):
        return all(map(_is_finite, result.values()))
    if isinstance(result, tuple) and len(result) == 3:
        return _is_finite(result[0])
    if isinstance(result, list | tuple):
        return all(map(_is_finite, result))
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return all(_is_finite(getattr(result, each.name)) for each in dataclasses.fields(result))
    return True


def print_counts() -> None:
    """Try every odd value, and print a table of the outcomes."""
    foreign: Counter[str] = Counter()
    for name, parameter in PAIRS:
        for value in ODD:
            try:
                attempt(name, parameter, value)
            except AssertionError as error:
                foreign[name] += 1
                print(error)
    print("callable            values  refused  accepted  foreign")
    for name in CASES:
        refused, accepted = COUNTS[name, "refused"], COUNTS[name, "accepted"]
        print(f"{name:<20}{refused + accepted:>6}{refused:>9}{accepted:>10}{foreign[name]:>9}")
    refused = sum(count for (_, outcome), count in COUNTS.items() if outcome == "refused")
    accepted = sum(COUNTS.values()) - refused
    total = f"{len(CASES)} callables"
    print(f"{total:<20}{refused + accepted:>6}{refused:>9}{accepted:>10}{sum(foreign.values()):>9}")


if __name__ == "__main__":
    print_counts()
