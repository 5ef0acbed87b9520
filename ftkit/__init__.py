"""ftkit: an interactive teaching kit about fine-tuning beyond LoRA.

    minimise over phi:   E over batches from D of   L( f(x; theta0 + delta(phi)), batch )

A technique fills one of three slots and leaves the others at their defaults: the *space* delta
(where may the change live?), the *objective* L (what is minimised?), the *data* D (what arrives?).

>>> from ftkit import Adapted, LoRA, Only, load_base, load_task, train
>>> docs = load_task("docs")
>>> base = load_base("mini", docs)
>>> model = Adapted(base, LoRA(rank=4), Only("heads.*"))
>>> [event.step for event in train(model, docs, steps=2, validations=0)]
[1, 2]
"""

import lazy_loader

__version__ = "0.2.0"

# The public names are listed in __init__.pyi. Each is imported when it is first used, so that
# `import ftkit` does not wait for torch.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
