"""The techniques that `ftkit run` offers: classes in the files of `ftkit.techniques`.

Nothing registers a technique. `ftkit run` finds a class by what it can do, and calls it by its name
in small letters:

- A *space* is a dataclass with `changes(model)`.
- An *objective* is called as `objective(model, batch)`: these are the names of the first two
  parameters of `__call__`, or of `forward` if it is a `torch.nn.Module`.
- *Data* has `batches(size, generator)` and a class attribute `needs`. (Without `needs` it is a part
  of other techniques.)

An objective or data says what it needs in the class attribute `needs`, a tuple of names. An
objective without it needs nothing and fine-tunes the whole network on one task.

- `needs = ("tasks",)`: several tasks that share a body. The command takes them from `--task` and
  `--beside`. An objective gets a joint batch of all tasks (`Together`) at every step; data is
  constructed with the tasks and decides itself which batch comes.
- `needs = ("teacher",)`: a trained teacher. The command fine-tunes the whole base, and trains a
  student that keeps some of its blocks (`--blocks`).

The parameters of the class are the options of its command, with their types and defaults, as far as
a command line can hold them (see `arguments.converter`). `tasks`, `teacher` and `seed` are not
options: the command fills them in. It constructs an object for every run, because an objective may
learn. If a class needs tasks, its parameters of several numbers have one number for each task, and
all are 1 by default.

    @dataclass(frozen=True)
    class Smoothed:                       # in ftkit/techniques/smoothed.py: `ftkit run smoothed`
        amount: float = 0.1               # `--amount 0.2`

        def __call__(self, model, batch): ...
"""

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ftkit import techniques
from ftkit.cli.arguments import Convert, converter, is_mapping

FILLED = ("tasks", "teacher", "seed")
"""Parameters that a run fills in."""


@dataclass(frozen=True)
class Option:
    """An option of a technique.

    Args:
        parameter: the parameter of the class that it sets.
        convert: from the text of the command line to the value.
        default: `inspect.Parameter.empty` if the option must be given.
        help: what the docstring of the class says about it.
    """

    parameter: str
    convert: Convert
    default: Any
    help: str


@dataclass(frozen=True)
class Technique:
    """A class of `ftkit.techniques` and the values of its options, by parameter."""

    kind: type[Any]
    values: Mapping[str, Any]

    @property
    def needs(self) -> tuple[str, ...]:
        """What the class says that it needs: some of "tasks" and "teacher"."""
        return needs(self.kind)

    def make(self, **filled: Any) -> Any:
        """Construct the technique; of `filled` it takes what its class has a parameter for."""
        parameters = inspect.signature(self.kind).parameters
        return self.kind(
            **self.values, **{name: filled[name] for name in filled if name in parameters}
        )

    def for_tasks(self, task_names: tuple[str, ...]) -> "Technique":
        """Return the technique with its numbers for each task, which a mapping names by task.

        Raises:
            ValueError: an option does not have one number for each task.
        """
        values = dict(self.values)
        for name in per_task(self.kind):
            given = values[name] or (1.0,) * len(task_names)
            if len(given) != len(task_names):
                raise ValueError(
                    f"--{name} must have one number for each task, got {len(given)} for "
                    f"{len(task_names)} tasks; give the number of --task first"
                )
            annotation = inspect.signature(self.kind).parameters[name].annotation
            named = dict(zip(task_names, given, strict=True))
            values[name] = named if is_mapping(annotation) else given
        return Technique(self.kind, values)

    def __str__(self) -> str:
        given = {name: value for name, value in self.values.items() if value != ()}
        values = ", ".join(f"{name}={_written(value)}" for name, value in given.items())
        return f"{self.kind.__name__}({values})" if values else self.kind.__name__


def found() -> dict[str, type[Any]]:
    """Return every technique that `ftkit run` offers, by its name in small letters."""
    return {kind.__name__.lower(): kind for kind in _classes() if _fills_a_slot(kind)}


def _classes() -> Iterator[type[Any]]:
    """Yield the classes that the files of `ftkit.techniques` define."""
    for file in pkgutil.iter_modules(techniques.__path__):
        module = importlib.import_module(f"{techniques.__name__}.{file.name}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__:
                yield kind


def _fills_a_slot(kind: type[Any]) -> bool:
    fills = is_space(kind) or is_objective(kind) or (is_data(kind) and hasattr(kind, "needs"))
    return fills and not kind.__name__.startswith("_") and not _out_of_reach(kind)


def is_space(kind: type[Any]) -> bool:
    """Whether the class fills the slot of the space."""
    return dataclasses.is_dataclass(kind) and hasattr(kind, "changes")


def is_data(kind: type[Any]) -> bool:
    """Whether the class fills the slot of the data."""
    return hasattr(kind, "batches")


def is_objective(kind: type[Any]) -> bool:
    """Whether the class fills the slot of the objective: it is called with a model and a batch."""
    for name in ("forward", "__call__"):
        call = inspect.getattr_static(kind, name, None)
        if inspect.isfunction(call):
            return list(inspect.signature(call).parameters)[1:3] == ["model", "batch"]
    return False


def needs(kind: type[Any]) -> tuple[str, ...]:
    """Return what the class says that it needs."""
    return tuple(getattr(kind, "needs", ()))


def per_task(kind: type[Any]) -> list[str]:
    """Return the options that have one number for each task."""
    if "tasks" not in needs(kind):
        return []
    annotations = {
        name: parameter.annotation
        for name, parameter in inspect.signature(kind).parameters.items()
        if name not in FILLED
    }
    return [
        name
        for name, annotation in annotations.items()
        if annotation == tuple[float, ...] or is_mapping(annotation)
    ]


def options(kind: type[Any]) -> list[Option]:
    """Return the options of a technique, in the order of the class's parameters."""
    texts, one_each = _documented(kind), per_task(kind)
    made = []
    for name, parameter in inspect.signature(kind).parameters.items():
        convert = converter(parameter.annotation)
        names_no_task = is_mapping(parameter.annotation) and name not in one_each
        if name in FILLED or convert is None or names_no_task:
            continue
        default = () if name in one_each else parameter.default
        made.append(Option(name, convert, default, texts.get(name, "")))
    return made


def summary(kind: type[Any]) -> str:
    """Return the first sentence of the class's docstring."""
    text = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".")


def _out_of_reach(kind: type[Any]) -> bool:
    """Whether the class must have a value that a command can neither ask for nor fill in."""
    parameters = inspect.signature(kind).parameters
    return any(
        parameter.default is parameter.empty and converter(parameter.annotation) is None
        for name, parameter in parameters.items()
        if name not in FILLED
    )


def _documented(kind: type[Any]) -> dict[str, str]:
    """Return the texts under "Args:" in the docstrings of the class and its bases, by parameter."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        section = (inspect.cleandoc(base.__doc__ or "") + "\n\n").partition("\nArgs:\n")[2]
        name = ""
        for line in section.partition("\n\n")[0].splitlines():
            start, colon, text = line.strip().partition(": ")
            if line[:5].strip() and colon and start.isidentifier():  # four spaces, then the name
                name, texts[start] = start, text
            elif name:
                texts[name] += " " + line.strip()
    return texts


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_written, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)
