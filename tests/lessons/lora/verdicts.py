"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "LoRA does as well as full fine-tuning": OPEN,
    "Rank 1 is enough": NOT,
    "On attention alone LoRA is worse": NOT,
    "LoRA needs ten times the learning rate of full fine-tuning": NOT,
    "With a constant alpha the best learning rate hardly depends on the rank": HOLDS,
    "One per cent of the parameters needs one per cent of the memory": NOT,
    "LoRA trains faster than full fine-tuning": NOT,
}
