"""The base `mini-vit`: a small vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), taught to name glyphs drawn from fonts.

Letters and symbols, no digits: reading handwritten digits is then a transfer. Glyphs come as scikit-learn's digits do: drawn on 32 x 32
pixels, the ink of each 4 x 4 square counted, 8 x 8 numbers from 0 to 16.
"""

import json
import string
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from torch import Tensor
from torch.nn import functional as F
from transformers import ViTConfig, ViTForImageClassification

from ftkit.storage import write_json

SIZE, PATCH, WIDTH, LAYERS, HEADS, INNER = 8, 2, 72, 3, 4, 288
GLYPHS = string.ascii_letters + "!#$%&*+<=>?@^~{}[]"
IMAGES, STEPS, BATCH, LR = 60_000, 5_000, 64, 1e-3
MEAN, DEVIATION = 0.3, 0.35


def fonts() -> list[Path]:
    """The fonts with Latin letters that Matplotlib ships, sorted by name."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return sorted(
        path
        for path in folder.glob("*.ttf")
        if path.name.startswith(("DejaVu", "STIXGeneral", "cmr10", "cmtt10", "cmss10", "cmb10"))
    )


def glyph(character: str, font: Path, random: np.random.Generator) -> np.ndarray:
    """One warped, noisy drawing of a character: (8, 8), 0 (blank) to 1 (full ink), float32."""
    canvas = Image.new("L", (96, 96), 0)
    pen = ImageDraw.Draw(canvas)
    pen.text(
        (48, 48),
        character,
        font=ImageFont.truetype(str(font), 44),
        fill=255,
        anchor="mm",
        stroke_width=int(random.integers(0, 3)),
    )
    turn, lean = random.normal(0, 0.15), random.normal(0, 0.2)
    stretch = np.exp(random.normal(0, 0.12, 2))
    matrix = (
        np.array([[np.cos(turn), -np.sin(turn) + lean], [np.sin(turn), np.cos(turn)]]) * stretch
    )
    shift = np.array([48, 48]) - matrix @ np.array([48, 48])
    canvas = canvas.transform(
        (96, 96),
        Image.Transform.AFFINE,
        (*matrix[0], shift[0], *matrix[1], shift[1]),
        Image.Resampling.BILINEAR,
    )
    canvas = canvas.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 1.5))))
    box = canvas.point(lambda ink: 255 if ink > 40 else 0).getbbox()
    if box is None:
        return np.zeros((SIZE, SIZE), dtype=np.float32)
    height, width = box[3] - box[1], box[2] - box[0]
    tall = int(random.integers(27, 33))
    wide = int(np.clip(width / height * tall * random.uniform(0.8, 1.1), 6, 32))
    drawn = canvas.crop(box).resize((wide, tall), Image.Resampling.BILINEAR)
    page = Image.new("L", (32, 32), 0)
    page.paste(drawn, ((32 - wide) // 2 + int(random.integers(-2, 3)), (32 - tall) // 2))
    ink = np.asarray(page, dtype=np.float32) > random.uniform(70, 150)
    counts = ink.reshape(8, 4, 8, 4).sum(axis=(1, 3)) + random.normal(0, 0.5, (8, 8)) * (
        random.random((8, 8)) < 0.3
    )
    return (np.clip(np.round(counts), 0, 16) / 16).astype(np.float32)


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """`count` glyphs (count, 1, 8, 8) and the number of each one's character (count,)."""
    random, faces = np.random.default_rng(seed), fonts()
    labels = random.integers(0, len(GLYPHS), count)
    images = [glyph(GLYPHS[label], faces[random.integers(len(faces))], random) for label in labels]
    return torch.from_numpy(np.stack(images)).unsqueeze(1), torch.from_numpy(labels)


def new_model() -> ViTForImageClassification:
    """A fresh vision transformer with one output a glyph."""
    config = ViTConfig(
        image_size=SIZE,
        patch_size=PATCH,
        num_channels=1,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INNER,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        num_labels=len(GLYPHS),
    )
    return ViTForImageClassification(config)


def pretrain(
    model: ViTForImageClassification,
    images: Tensor,
    labels: Tensor,
    held_out: tuple[Tensor, Tensor],
) -> Iterator[dict[str, float]]:
    """Trains `model` in place to name the glyphs, and yields a reading every 500 steps."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS, pct_start=0.05)
    for step in range(1, STEPS + 1):
        rows = torch.randint(0, len(images), (BATCH,), generator=generator)
        logits = model(pixel_values=(images[rows] - MEAN) / DEVIATION).logits
        loss = F.cross_entropy(logits, labels[rows], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            with torch.no_grad():
                right = (
                    model(pixel_values=(held_out[0] - MEAN) / DEVIATION).logits.argmax(-1)
                    == held_out[1]
                )
            yield {
                "step": step,
                "train": loss.item(),
                "held_out_accuracy": right.float().mean().item(),
            }


def build(folder: Path) -> None:
    """Makes the base anew in `folder`, with `pretraining.json`: what was drawn and how the accuracy rose."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, labels = draw(IMAGES, seed=0)
    model = new_model()
    curve = []
    for reading in pretrain(model, images, labels, draw(2_000, seed=1)):
        curve.append(reading)
        print(json.dumps(reading), flush=True)
    model.vit.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [MEAN], "image_std": [DEVIATION]})
    )
    facts = {"images": IMAGES, "glyphs": GLYPHS, "fonts": [path.stem for path in fonts()]}
    write_json(folder / "pretraining.json", {**facts, "curve": curve})


if __name__ == "__main__":
    build(Path("data/bases/mini-vit"))
