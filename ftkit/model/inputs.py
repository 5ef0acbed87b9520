"""How a base reads a task: texts as token ids, images as pixels.

Each split is read once. What was read is kept for as long as the split lives.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from ftkit.model.checkpoint import Refused


@dataclass(frozen=True, eq=False)
class Texts:
    """Token ids and attention masks of texts.

    Texts are cut at `longest` tokens and padded to the longest row of a batch. Nets of one
    checkpoint share a reader, so it cannot be changed.
    """

    _tokenizer: Any
    longest: int
    _read: "WeakKeyDictionary[Dataset, tuple[Tensor, Tensor]]" = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    kind = "text"

    @property
    def tokenizer(self) -> Any:
        """A copy of the tokenizer."""
        return copy.deepcopy(self._tokenizer)

    @property
    def pad(self) -> int:
        """The token that fills short rows; 0 without a padding token, since the mask hides it."""
        return int(self._tokenizer.pad_token_id or 0)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Texts":
        return self

    def table(self, data: Dataset) -> tuple[Tensor, Tensor]:
        """All token ids of a split, (rows, longest row), and the length of each row, (rows,)."""
        if data not in self._read:
            texts = data["text"][:]
            tokens = self._tokenizer(texts, truncation=True, max_length=self.longest)["input_ids"]
            rows = [torch.tensor(row, dtype=torch.int64) for row in tokens]
            lengths = torch.tensor([len(row) for row in rows])
            _check_tokens(texts, lengths)
            ids = pad_sequence(rows, batch_first=True, padding_value=self.pad)
            self._read[data] = ids, lengths
        return self._read[data]

    def __call__(self, data: Dataset, rows: Tensor) -> dict[str, Tensor]:
        """The body's inputs for `rows`: `input_ids` and `attention_mask`, (n, longest of them)."""
        ids, lengths = self.table(data)
        of_rows = lengths[rows]
        longest = max(1, int(of_rows.max()))
        mask = torch.arange(longest) < of_rows.unsqueeze(1)
        return {"input_ids": ids[rows, :longest], "attention_mask": mask.to(torch.int64)}

    def join(self, inputs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The inputs of several batches as those of one, padded to the longest row of all."""
        longest = max(each["input_ids"].shape[1] for each in inputs)
        fill = {"input_ids": self.pad, "attention_mask": 0}
        joined = {}
        for name, value in fill.items():
            padded = [
                F.pad(each[name], (0, longest - each[name].shape[1]), value=value)
                for each in inputs
            ]
            joined[name] = torch.cat(padded)
        return joined

    def coverage(self, texts: Sequence[str]) -> "Coverage":
        """How much of some texts is read, and how much of it is known."""
        whole = self._tokenizer(list(texts), verbose=False)["input_ids"]
        unknown = self._tokenizer.unk_token_id
        return Coverage(
            texts=len(whole),
            cut_texts=sum(len(row) > self.longest for row in whole),
            tokens=sum(map(len, whole)),
            cut_tokens=sum(max(0, len(row) - self.longest) for row in whole),
            unknown_tokens=0 if unknown is None else sum(row.count(unknown) for row in whole),
        )

    def order(self, data: Dataset) -> Tensor:
        """The rows of a split from short to long, so that batches need little padding."""
        return self.table(data)[1].argsort(stable=True)


@dataclass(frozen=True)
class Coverage:
    """What a base reads of some texts.

    Args:
        texts: the number of texts.
        cut_texts: those that are longer than the base reads.
        tokens: the number of tokens of all texts.
        cut_tokens: those that are not read.
        unknown_tokens: those that stand for a word that the tokenizer does not know.
    """

    texts: int
    cut_texts: int
    tokens: int
    cut_tokens: int
    unknown_tokens: int


def _check_tokens(texts: Sequence[str], lengths: Tensor) -> None:
    """Refuse a text without any token: the mean over its tokens would be 0 / 0.

    Raises:
        ValueError: there is one; the message names the first.
    """
    empty = (lengths == 0).nonzero().flatten().tolist()
    if empty:
        raise ValueError(
            f"every text must have a token that the base knows, got {len(empty)} without, the "
            f"first in row {empty[0] + 1} of its split: {texts[empty[0]][:40]!r}; leave them out, "
            "or take a base that reads them"
        )


@dataclass(frozen=True, eq=False)
class Images:
    """Pixels of images with values in [0, 1].

    Images are resized to the body's size, repeated to its channels and normalised. Nets of one
    checkpoint share a reader, so it cannot be changed.

    Args:
        size: height and width, in pixels.
        channels: at least 1.
        mean: what is subtracted, for each channel or for all of them.
        deviation: what it is divided by then.
    """

    size: int
    channels: int
    mean: tuple[float, ...] = (0.5,)
    deviation: tuple[float, ...] = (0.5,)
    _read: "WeakKeyDictionary[Dataset, Tensor]" = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )

    kind = "image"

    @classmethod
    def of(cls, config: Any, folder: Path) -> "Images":
        """Read images as the checkpoint in `folder` was trained to.

        Size and channels come from its config, mean and deviation from its preprocessor.

        Raises:
            ValueError: the folder does not say one of them, or images are not square.
        """
        file = folder / "preprocessor_config.json"
        if not file.is_file():
            raise Refused(
                "an image base must have a preprocessor_config.json, which says how pixels are "
                f"scaled, got a folder without it: {str(folder)!r}; save the image processor there"
            )
        preprocessor = json.loads(file.read_text(encoding="utf-8"))
        size, channels = getattr(config, "image_size", None), getattr(config, "num_channels", None)
        if isinstance(size, list | tuple) and len(set(size)) == 1:
            size = size[0]
        if not (isinstance(size, int) and isinstance(channels, int)):
            raise ValueError(
                "its config.json gives no single image_size and num_channels, "
                f"but {size!r} and {channels!r}"
            )
        if preprocessor.get("do_normalize") is False:
            return cls(size, channels, (0.0,), (1.0,))
        mean, deviation = preprocessor.get("image_mean"), preprocessor.get("image_std")
        if not all(isinstance(x, list) and len(x) in (1, channels) for x in (mean, deviation)):
            raise Refused(
                "preprocessor_config.json must give image_mean and image_std for "
                f"{channels} channels, got {mean!r} and {deviation!r} in {str(folder)!r}; "
                "save the image processor there again"
            )
        return cls(size, channels, tuple(mean), tuple(deviation))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Images":
        return self

    def __call__(self, data: Dataset, rows: Tensor) -> dict[str, Tensor]:
        """The body's inputs for `rows`: `pixel_values` (n, channels, size, size)."""
        if data not in self._read:
            self._read[data] = torch.tensor(data["image"][:], dtype=torch.float32).unsqueeze(1)
        pixels = self._read[data][rows]
        if pixels.shape[-1] != self.size:
            pixels = F.interpolate(pixels, self.size, mode="bilinear", align_corners=False)
        mean, deviation = (torch.tensor(x).view(-1, 1, 1) for x in (self.mean, self.deviation))
        normalised = (pixels - mean) / deviation
        return {"pixel_values": normalised.expand(-1, self.channels, -1, -1)}

    def join(self, inputs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The inputs of several batches as those of one."""
        return {"pixel_values": torch.cat([each["pixel_values"] for each in inputs])}

    def order(self, data: Dataset) -> Tensor:
        """The rows of a split; all images have the same size."""
        return torch.arange(len(data))
