"""The verdicts on the claims of the lesson by its recorded runs; a key is words of the claim."""

from helpers.verdicts import HOLDS, NOT, OPEN

VERDICTS = {
    "The farther a task is, the farther LoRA falls behind": NOT,
    "On a far task LoRA lacks rank; a high one closes the gap": NOT,
    "LoRA must be in every linear layer; on attention alone it is worse": NOT,
    "LoRA falls behind because a change of low rank is too small": NOT,
    "If the word embeddings are trained too, LoRA keeps up": HOLDS,
    "What LoRA lacks on far tasks are the word vectors": NOT,
    "If a task is far enough, a pretrained start is worse than none": NOT,
    "The frozen blocks of a pretrained transformer are useful": OPEN,
    "Large batches cost LoRA more than full fine-tuning": OPEN,
    "LoRA is more sensitive to its learning rate": OPEN,
    "LoRA forgets less than full fine-tuning.": HOLDS,
    "LoRA forgets less than full fine-tuning of the same accuracy": OPEN,
    "LoRA leaves intruder dimensions, full fine-tuning none": NOT,
    "LoRA saves gradients, optimizer state and disk": HOLDS,
    "LoRA saves activations": NOT,
    "LoRA saves time at every size": NOT,
}
