"""The base `mini-vit`: a small vision transformer, pretrained to name glyphs drawn from fonts.

The glyphs are letters and symbols, not digits, so reading handwritten digits is a transfer. They
are made like scikit-learn's digits: drawn on 32 x 32 pixels, and the ink of each 4 x 4 square
counted, which gives 8 x 8 numbers from 0 to 16.

Source: Dosovitskiy et al. 2021, arXiv:2010.11929.
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

from ftkit.pretrain.shipped import make_base
from ftkit.storage import write_json

SIZE, PATCH, WIDTH, LAYERS, HEADS, INNER = 8, 2, 72, 3, 4, 288
GLYPHS = string.ascii_letters + "!#$%&*+<=>?@^~{}[]"
IMAGES, STEPS, BATCH, LR = 60_000, 5_000, 64, 1e-3
MEAN, DEVIATION = 0.3, 0.35


def fonts() -> list[Path]:
    """The fonts with Latin letters that Matplotlib ships, sorted by name."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    latin = ("DejaVu", "STIXGeneral", "cmr10", "cmtt10", "cmss10", "cmb10")
    return sorted(path for path in folder.glob("*.ttf") if path.name.startswith(latin))


def glyph(character: str, font: Path, random: np.random.Generator) -> np.ndarray:
    """Draw a character, warped and noisy: float32, (8, 8), from 0 (blank) to 1 (full ink)."""
    # 1. Draw it large, with a random weight of the pen.
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
    # 2. Turn, shear and stretch it about its centre, and blur it.
    turn, lean = random.normal(0, 0.15), random.normal(0, 0.2)
    stretch = np.exp(random.normal(0, 0.12, 2))
    turned = np.array([[np.cos(turn), -np.sin(turn) + lean], [np.sin(turn), np.cos(turn)]])
    matrix = turned * stretch
    shift = np.array([48, 48]) - matrix @ np.array([48, 48])
    canvas = canvas.transform(
        (96, 96),
        Image.Transform.AFFINE,
        (*matrix[0], shift[0], *matrix[1], shift[1]),
        Image.Resampling.BILINEAR,
    )
    canvas = canvas.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 1.5))))
    # 3. Cut it out, and paste it near the centre of a page of 32 x 32 pixels.
    box = canvas.point(lambda ink: 255 if ink > 40 else 0).getbbox()
    if box is None:
        return np.zeros((SIZE, SIZE), dtype=np.float32)
    height, width = box[3] - box[1], box[2] - box[0]
    tall = int(random.integers(27, 33))
    wide = int(np.clip(width / height * tall * random.uniform(0.8, 1.1), 6, 32))
    drawn = canvas.crop(box).resize((wide, tall), Image.Resampling.BILINEAR)
    page = Image.new("L", (32, 32), 0)
    page.paste(drawn, ((32 - wide) // 2 + int(random.integers(-2, 3)), (32 - tall) // 2))
    # 4. Count the ink of each 4 x 4 square, with noise on some.
    ink = np.asarray(page, dtype=np.float32) > random.uniform(70, 150)
    counts = ink.reshape(8, 4, 8, 4).sum(axis=(1, 3))
    noise = random.normal(0, 0.5, (8, 8)) * (random.random((8, 8)) < 0.3)
    counts = counts + noise
    return (np.clip(np.round(counts), 0, 16) / 16).astype(np.float32)


def draw(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw `count` glyphs, (count, 1, 8, 8), and return them with their classes, (count,)."""
    random, faces = np.random.default_rng(seed), fonts()
    labels = random.integers(0, len(GLYPHS), count)
    images = [glyph(GLYPHS[label], faces[random.integers(len(faces))], random) for label in labels]
    return torch.from_numpy(np.stack(images)).unsqueeze(1), torch.from_numpy(labels)


def new_model() -> ViTForImageClassification:
    """Make a new vision transformer with one output a glyph."""
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
    """Train `model` in place to name the glyphs.

    Args:
        model: the network.
        images: the training glyphs, (n, 1, 8, 8), and `labels` (n,) their classes.
        held_out: other glyphs with their classes.

    Yields:
        Every 500 steps: `step`, the training loss of the last batch, and `held_out_accuracy`.
    """
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
            others, classes = held_out
            with torch.no_grad():
                answers = model(pixel_values=(others - MEAN) / DEVIATION).logits.argmax(-1)
            accuracy = (answers == classes).float().mean().item()
            yield {"step": step, "train": loss.item(), "held_out_accuracy": accuracy}


def build(folder: Path) -> None:
    """Make the base again in `folder`.

    With it comes `pretraining.json`, which says what was drawn and how the accuracy rose.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    images, labels = draw(IMAGES, seed=0)
    model = new_model()
    curve = []
    for row in pretrain(model, images, labels, draw(2_000, seed=1)):
        curve.append(row)
        print(json.dumps(row), flush=True)
    model.vit.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [MEAN], "image_std": [DEVIATION]})
    )
    facts = {"images": IMAGES, "glyphs": GLYPHS, "fonts": [path.stem for path in fonts()]}
    write_json(folder / "pretraining.json", {**facts, "curve": curve})


if __name__ == "__main__":
    make_base("mini-vit", build)
