"""ftkit: an interactive teaching kit about fine-tuning beyond LoRA.

    minimise over phi:   E over batches from D of   L( f(x; theta0 + delta(phi)), batch )

A technique fills one of three slots and leaves the others at their defaults: the *space* delta (where may the change live?), the
*objective* L (what is minimised?), the *data* D (what arrives?).

>>> from ftkit import Adapted, LoRA, Only, load_base, load_task, train
>>> docs = load_task("docs")
>>> base = load_base("mini", docs)
>>> model = Adapted(base, LoRA(rank=4), Only("heads.*"))
>>> [event.step for event in train(model, docs, steps=2, readings=0)]
[1, 2]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftkit.experiments.sweep import grid as grid
    from ftkit.experiments.sweep import sweep as sweep
    from ftkit.experiments.tables import replay as replay
    from ftkit.model.adapted import Adapted as Adapted
    from ftkit.model.base import Net as Net
    from ftkit.model.base import load_base as load_base
    from ftkit.model.change import Change as Change
    from ftkit.model.change import Dense as Dense
    from ftkit.model.change import Space as Space
    from ftkit.model.delta import Delta as Delta
    from ftkit.model.entries import Chosen as Chosen
    from ftkit.model.entries import top as top
    from ftkit.model.entries import top_each as top_each
    from ftkit.model.entry_scores import fisher as fisher
    from ftkit.model.entry_scores import gradient as gradient
    from ftkit.model.entry_scores import movement as movement
    from ftkit.model.objective import supervised as supervised
    from ftkit.panel.explorer import Explorer as Explorer
    from ftkit.panel.plot import draw as draw
    from ftkit.panel.recorded_runs import Recorded as Recorded
    from ftkit.stats.paired import bootstrap as bootstrap
    from ftkit.stats.paired import crossed as crossed
    from ftkit.stats.paired import equivalence as equivalence
    from ftkit.stats.paired import family as family
    from ftkit.stats.paired import holm as holm
    from ftkit.stats.paired import interval as interval
    from ftkit.stats.paired import proportion as proportion
    from ftkit.stats.paired import sign_flip as sign_flip
    from ftkit.stats.paired import verdict as verdict
    from ftkit.stats.tradeoff import expected_best as expected_best
    from ftkit.stats.tradeoff import front as front
    from ftkit.stats.tradeoff import improvement as improvement
    from ftkit.stats.tradeoff import share_of_gain as share_of_gain
    from ftkit.tasks.load import load_task as load_task
    from ftkit.tasks.task import Batch as Batch
    from ftkit.tasks.task import Task as Task
    from ftkit.techniques.adalora import AdaLoRA as AdaLoRA
    from ftkit.techniques.adalora import Pruning as Pruning
    from ftkit.techniques.bitfit import BitFit as BitFit
    from ftkit.techniques.bitfit import with_biases as with_biases
    from ftkit.techniques.distillation import Distillation as Distillation
    from ftkit.techniques.distillation import Teacher as Teacher
    from ftkit.techniques.distillation import agreement as agreement
    from ftkit.techniques.distillation import divergence as divergence
    from ftkit.techniques.distillation import pseudo_labelled as pseudo_labelled
    from ftkit.techniques.distillation import unlabelled as unlabelled
    from ftkit.techniques.dora import DoRA as DoRA
    from ftkit.techniques.freeze import LastBlocks as LastBlocks
    from ftkit.techniques.freeze import Only as Only
    from ftkit.techniques.freeze import discriminative as discriminative
    from ftkit.techniques.ia3 import IA3 as IA3
    from ftkit.techniques.lora import LoRA as LoRA
    from ftkit.techniques.lorafa import LoRAFA as LoRAFA
    from ftkit.techniques.loraplus import LoRAPlus as LoRAPlus
    from ftkit.techniques.pissa import PiSSA as PiSSA
    from ftkit.techniques.rslora import RsLoRA as RsLoRA
    from ftkit.techniques.sparse import Rows as Rows
    from ftkit.techniques.sparse import Sparse as Sparse
    from ftkit.techniques.sparse import SparseEach as SparseEach
    from ftkit.techniques.sparse import regrown as regrown
    from ftkit.techniques.stored_answers import Stored as Stored
    from ftkit.techniques.student import student as student
    from ftkit.techniques.task_balancing import GradNorm as GradNorm
    from ftkit.techniques.task_balancing import PCGrad as PCGrad
    from ftkit.techniques.task_balancing import Uncertainty as Uncertainty
    from ftkit.techniques.task_balancing import Weighted as Weighted
    from ftkit.techniques.task_mixing import Mixture as Mixture
    from ftkit.techniques.task_mixing import Together as Together
    from ftkit.techniques.task_mixing import cosines as cosines
    from ftkit.techniques.task_mixing import proportional as proportional
    from ftkit.techniques.vera import VeRA as VeRA
    from ftkit.training.cost import Cost as Cost
    from ftkit.training.cost import measure as measure
    from ftkit.training.events import Diverged as Diverged
    from ftkit.training.events import Event as Event
    from ftkit.training.loop import evaluate as evaluate
    from ftkit.training.loop import train as train

__version__ = "0.1.0"

# Names are fetched when first used: `import ftkit` must not wait for the libraries below it.
_HOME = {
    "ftkit.model.adapted": ("Adapted",),
    "ftkit.model.base": ("Net", "load_base"),
    "ftkit.model.change": ("Change", "Dense", "Space"),
    "ftkit.training.cost": ("Cost", "measure"),
    "ftkit.tasks.task": ("Batch", "Task", "load_task"),
    "ftkit.model.delta": ("Delta",),
    "ftkit.model.entries": ("Chosen", "top", "top_each"),
    "ftkit.training.events": ("Diverged", "Event"),
    "ftkit.panel.explorer": ("Explorer",),
    "ftkit.model.objective": ("supervised",),
    "ftkit.panel.recorded_runs": ("Recorded",),
    "ftkit.model.entry_scores": ("fisher", "gradient", "movement"),
    "ftkit.stats.paired": (
        "bootstrap",
        "crossed",
        "equivalence",
        "family",
        "holm",
        "interval",
        "proportion",
        "sign_flip",
        "verdict",
    ),
    "ftkit.experiments.sweep": ("grid", "replay", "sweep"),
    "ftkit.techniques.adalora": ("AdaLoRA", "Pruning"),
    "ftkit.techniques.task_balancing": ("GradNorm", "PCGrad", "Uncertainty", "Weighted"),
    "ftkit.techniques.bitfit": ("BitFit", "with_biases"),
    "ftkit.techniques.distillation": (
        "Distillation",
        "Teacher",
        "agreement",
        "divergence",
        "pseudo_labelled",
        "unlabelled",
    ),
    "ftkit.techniques.dora": ("DoRA",),
    "ftkit.techniques.freeze": ("LastBlocks", "Only", "discriminative"),
    "ftkit.techniques.ia3": ("IA3",),
    "ftkit.techniques.lora": ("LoRA",),
    "ftkit.techniques.lorafa": ("LoRAFA",),
    "ftkit.techniques.loraplus": ("LoRAPlus",),
    "ftkit.techniques.task_mixing": ("Mixture", "Together", "cosines", "proportional"),
    "ftkit.techniques.pissa": ("PiSSA",),
    "ftkit.techniques.rslora": ("RsLoRA",),
    "ftkit.techniques.sparse": ("Rows", "Sparse", "SparseEach", "regrown"),
    "ftkit.techniques.stored_answers": ("Stored",),
    "ftkit.techniques.student": ("student",),
    "ftkit.techniques.vera": ("VeRA",),
    "ftkit.training.loop": ("evaluate", "train"),
    "ftkit.panel.plot": ("draw",),
    "ftkit.stats.tradeoff": ("expected_best", "front", "improvement", "share_of_gain"),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE)


def __getattr__(name: str) -> Any:
    if name not in _MODULE:
        raise AttributeError(f"module 'ftkit' has no attribute {name!r}")
    value = getattr(import_module(_MODULE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
