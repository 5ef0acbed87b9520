"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "DoRA does better than LoRA with no more parameters": NOT,
    "PiSSA does better than LoRA": NOT,
    "It pays to choose which matrices get the rank": NOT,
    "LoRA does better if B has a larger learning rate than A": NOT,
    "PiSSA learns faster": NOT,
    "At high ranks LoRA needs the scale alpha over the root": NOT,
    "A can stay frozen at its random start": HOLDS,
    "Two vectors a layer do as well as LoRA": OPEN,
    "Rescaling keys, values and inner features does as well as LoRA": NOT,
    "With a tuned learning rate for each, no relative beats LoRA": OPEN,
}
