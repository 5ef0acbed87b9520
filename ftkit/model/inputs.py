"""How a base reads a task: texts as token ids, images as pixels.

Each split is read once. What was read is kept for as long as the split lives.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from datasets import Dataset
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence


class Texts:
    """Token ids and attention masks of texts.

    Texts are cut at `longest` tokens and padded to the longest row of a batch.
    """

    kind = "text"

    def __init__(self, tokenizer: Any, longest: int) -> None:
        self.tokenizer, self.longest = tokenizer, longest
        self._pad = int(tokenizer.pad_token_id or 0)
        self._read: WeakKeyDictionary[Dataset, tuple[Tensor, Tensor]] = WeakKeyDictionary()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Texts":
        return self

    def table(self, data: Dataset) -> tuple[Tensor, Tensor]:
        """All token ids of a split, (rows, longest row), and the length of each row, (rows,)."""
        if data not in self._read:
            texts = data["text"][:]
            tokens = self.tokenizer(texts, truncation=True, max_length=self.longest)["input_ids"]
            rows = [torch.tensor(row, dtype=torch.int64) for row in tokens]
            lengths = torch.tensor([len(row) for row in rows])
            ids = pad_sequence(rows, batch_first=True, padding_value=self._pad)
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
        fill = {"input_ids": self._pad, "attention_mask": 0}
        joined = {}
        for name, value in fill.items():
            padded = [
                F.pad(each[name], (0, longest - each[name].shape[1]), value=value)
                for each in inputs
            ]
            joined[name] = torch.cat(padded)
        return joined

    def order(self, data: Dataset) -> Tensor:
        """The rows of a split from short to long, so that batches need little padding."""
        return self.table(data)[1].argsort(stable=True)


class Images:
    """Pixels of images with values in [0, 1].

    Images are resized to the body's size, repeated to its channels and normalised.
    """

    kind = "image"

    def __init__(self, size: int, channels: int, mean: float = 0.5, deviation: float = 0.5) -> None:
        self.size, self.channels, self.mean, self.deviation = size, channels, mean, deviation
        self._read: WeakKeyDictionary[Dataset, Tensor] = WeakKeyDictionary()

    @classmethod
    def of(cls, config: Any, path: str) -> "Images":
        """Read images as the checkpoint at `path` was trained to.

        Size and channels come from its config, mean and deviation from its preprocessor (0.5 each
        if it has none).
        """
        file = Path(path) / "preprocessor_config.json"
        preprocessor = json.loads(file.read_text()) if file.is_file() else {}
        mean = preprocessor.get("image_mean") or [0.5]
        deviation = preprocessor.get("image_std") or [0.5]
        return cls(
            config.image_size,
            config.num_channels,
            sum(mean) / len(mean),
            sum(deviation) / len(deviation),
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "Images":
        return self

    def __call__(self, data: Dataset, rows: Tensor) -> dict[str, Tensor]:
        """The body's inputs for `rows`: `pixel_values` (n, channels, size, size)."""
        if data not in self._read:
            self._read[data] = torch.tensor(data["image"][:], dtype=torch.float32).unsqueeze(1)
        pixels = self._read[data][rows]
        if pixels.shape[-1] != self.size:
            pixels = F.interpolate(pixels, self.size, mode="bilinear", align_corners=False)
        normalised = (pixels - self.mean) / self.deviation
        return {"pixel_values": normalised.expand(-1, self.channels, -1, -1)}

    def join(self, inputs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The inputs of several batches as those of one."""
        return {"pixel_values": torch.cat([each["pixel_values"] for each in inputs])}

    def order(self, data: Dataset) -> Tensor:
        """The rows of a split; all images have the same size."""
        return torch.arange(len(data))
