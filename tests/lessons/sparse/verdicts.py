"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "A small share of the parameters (half a per cent": NOT,
    "Fisher information chooses better entries than chance": NOT,
    "The entries to train are those that full fine-tuning changed most": OPEN,
    "The entries to train are the largest": NOT,
    "The sparser a random mask, the larger the learning rate": HOLDS,
    "Choosing whole rows, which saves operations, costs no accuracy": NOT,
    "A mask that drops its smallest changes and regrows": OPEN,
    "The cost of sparse training falls with the density of its mask": NOT,
}
