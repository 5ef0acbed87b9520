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
    from ftkit.adapted import Adapted as Adapted
    from ftkit.adapted import Change as Change
    from ftkit.adapted import Dense as Dense
    from ftkit.adapted import Space as Space
    from ftkit.bases import Net as Net
    from ftkit.bases import load_base as load_base
    from ftkit.cost import Cost as Cost
    from ftkit.cost import measure as measure
    from ftkit.data import Batch as Batch
    from ftkit.data import Task as Task
    from ftkit.data import load_task as load_task
    from ftkit.delta import Delta as Delta
    from ftkit.events import Diverged as Diverged
    from ftkit.events import Event as Event
    from ftkit.events import watch as watch
    from ftkit.explorer import Explorer as Explorer
    from ftkit.objective import supervised as supervised
    from ftkit.recorded import Recorded as Recorded
    from ftkit.stats import interval as interval
    from ftkit.stats import verdict as verdict
    from ftkit.sweeps import grid as grid
    from ftkit.sweeps import replay as replay
    from ftkit.sweeps import sweep as sweep
    from ftkit.techniques.bitfit import BitFit as BitFit
    from ftkit.techniques.freeze import LastBlocks as LastBlocks
    from ftkit.techniques.freeze import Only as Only
    from ftkit.techniques.lora import LoRA as LoRA
    from ftkit.training import evaluate as evaluate
    from ftkit.training import train as train
    from ftkit.widgets.plot import draw as draw

__version__ = "0.1.0"

# Names are fetched when first used: `import ftkit` must not wait for the libraries below it.
_HOME = {
    "ftkit.adapted": ("Adapted", "Change", "Dense", "Space"),
    "ftkit.bases": ("Net", "load_base"),
    "ftkit.cost": ("Cost", "measure"),
    "ftkit.data": ("Batch", "Task", "load_task"),
    "ftkit.delta": ("Delta",),
    "ftkit.events": ("Diverged", "Event", "watch"),
    "ftkit.explorer": ("Explorer",),
    "ftkit.objective": ("supervised",),
    "ftkit.recorded": ("Recorded",),
    "ftkit.stats": ("interval", "verdict"),
    "ftkit.sweeps": ("grid", "replay", "sweep"),
    "ftkit.techniques.bitfit": ("BitFit",),
    "ftkit.techniques.freeze": ("LastBlocks", "Only"),
    "ftkit.techniques.lora": ("LoRA",),
    "ftkit.training": ("evaluate", "train"),
    "ftkit.widgets.plot": ("draw",),
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
