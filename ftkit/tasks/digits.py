"""Real handwriting: the 1,797 digits that scikit-learn ships, as images and as words.

Source: Alpaydin and Kaynak 1998, UCI; 8 x 8 pixels each.
"""

import numpy as np

from ftkit.tasks.task import Task, table

NAMES = ("digits", "digits-parity", "digits-as-text")
WORDS = "abcdefghijklmnopq"
"""One word for each of the 17 intensities, from blank to full ink."""


def load(name: str) -> Task:
    """Load one of the three tasks on the same images.

    - `"digits"`: which digit is this image? Pixels are in [0, 1], shape (8, 8).
    - `"digits-parity"`: the same images; is the digit even or odd?
    - `"digits-as-text"`: each image as 16 words, the ink of every 2 x 2 square, row by row.

    The text is the far task for a base that was pretrained on English (Lu et al. 2021, "Pretrained
    Transformers as Universal Computation Engines", arXiv:2103.05247). The splits come from a
    seeded shuffle: 1,197 rows to train, 200 to validate, 400 to test.
    """
    from sklearn.datasets import load_digits  # here: importing it takes longer than a cached task

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = images[order].reshape(-1, 8, 8), labels[order]
    if name == "digits-as-text":
        inputs = [as_words(image) for image in images]
    else:
        inputs = (images / 16.0).tolist()
    classes = [str(digit) for digit in range(10)]
    if name == "digits-parity":
        labels, classes = labels % 2, ["even", "odd"]
    bounds = {"train": slice(0, 1197), "valid": slice(1197, 1397), "test": slice(1397, None)}
    splits = {
        stage: table(inputs[rows], labels[rows].tolist(), classes) for stage, rows in bounds.items()
    }
    return Task(name, tuple(classes), **splits)


def as_words(image: np.ndarray) -> str:
    """Write an image (8, 8) of intensities 0 to 16 as 16 words.

    >>> as_words(np.eye(8) * 16)
    'i a a a a i a a a a i a a a a i'
    """
    blocks = image.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    return " ".join(WORDS[round(ink)] for ink in blocks.ravel())
