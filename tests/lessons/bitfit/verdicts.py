"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "With little data BitFit does as well as full fine-tuning": OPEN,
    "With more data it falls behind": HOLDS,
    "More data help full fine-tuning more than BitFit": HOLDS,
    "Training the biases beats a head on the frozen body": OPEN,
    "The biases of the query and of the feed-forward layer": HOLDS,
    "BitFit needs a hundred times the learning rate": NOT,
    "The cost of training falls with the number": NOT,
}
