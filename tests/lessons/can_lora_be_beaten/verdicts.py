"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "LoRA can be beaten (equal parameters, 80 steps)": HOLDS,
    "LoRA can be beaten (equal parameters and operations)": HOLDS,
    "Whatever the task and the data, something beats LoRA": OPEN,
    "The methods that beat LoRA also beat it with a tuned alpha": NOT,
}
