"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "With the same number of steps, a pretrained start beats random": NOT,
    "Fine-tuning the last quarter of the blocks gets 90 %": HOLDS,
    "If you train one block only, it should be the last": NOT,
    "Unfreezing one part after another beats unfreezing all at once": NOT,
    "Smaller learning rates for lower blocks beat one": NOT,
    "Out of distribution, the frozen body beats full fine-tuning": NOT,
    "First the head alone, then everything (LP-FT)": OPEN,
    "Going only half of the way (WiSE-FT)": HOLDS,
}
