"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "A related task helps one with few examples": HOLDS,
    "More tasks are more data, and more data help": NOT,
    "Tuned fixed weights do as well as PCGrad": HOLDS,
    "Tuned fixed weights do as well as GradNorm": HOLDS,
    "Tuned fixed weights do as well as uncertainty": HOLDS,
    "Gradients are opposed more often where tasks hurt each other": OPEN,
    "Draw from each task in proportion to its number of rows": NOT,
    "Changes that were learned separately can be added": OPEN,
}
