"""What a run costs, measured on one batch: numbers, floating-point operations, bytes by kind, seconds."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from ftkit.model.adapted import Adapted
from ftkit.model.change import Dense
from ftkit.model.objective import Objective, supervised
from ftkit.tasks.task import Batch


@dataclass(frozen=True)
class Cost:
    """The bill of one training step of one model on one batch.

    `trainable` counts numbers; `flops` counts matrix products of forward and backward, a multiply-add as two; the bytes are those of the
    base's and the change's weights, of the gradients, of AdamW's state, of what autograd saved for the backward pass (each storage once,
    weights left out), and of the learned change on disk; `seconds` is the shortest of a few steps.
    """

    trainable: int
    flops: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    disk: int
    seconds: float


def measure(
    model: Adapted, batch: Batch, objective: Objective = supervised, repeats: int = 3
) -> Cost:
    """The bill of `model` on `batch`. The model's numbers are put back afterwards."""
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    weights = model.trainable()
    optimizer = torch.optim.AdamW(weights, lr=1e-6, weight_decay=0.0, fused=True)
    try:
        with saved_bytes(model) as saved:
            loss = _loss(model, batch, objective)
        loss.backward()
        gradients = sum(_bytes(w.grad) for w in weights if w.grad is not None)
        seconds = min(_step(model, batch, objective, optimizer) for _ in range(repeats))
        state = sum(
            _bytes(v)
            for s in optimizer.state.values()
            for v in s.values()
            if isinstance(v, Tensor) and v.ndim
        )
        return Cost(
            trainable=sum(w.numel() for w in weights),
            flops=flops(lambda: _loss(model, batch, objective).backward()),
            weights=sum(
                _bytes(w)
                for w in {id(w): w for w in (*model.base.parameters(), *_added(model))}.values()
            ),
            gradients=gradients,
            optimizer=state,
            activations=saved[0],
            disk=len(save({name: value.contiguous() for name, value in kept.items()})),
            seconds=seconds,
        )
    finally:
        model.load_state_dict(kept)
        for weight in weights:
            weight.grad = None


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _added(model: Adapted) -> list[Tensor]:
    """The numbers of the change that stand beside the base's weights in memory; a dense change takes its weight's place."""
    return [
        p
        for change in model.changes.values()
        if not isinstance(change, Dense)
        for p in change.state_dict().values()
    ]


def _loss(model: Adapted, batch: Batch, objective: Objective) -> Tensor:
    return torch.stack(list(objective(model, batch).values())).sum()


def _step(
    model: Adapted, batch: Batch, objective: Objective, optimizer: torch.optim.Optimizer
) -> float:
    start = time.perf_counter()
    optimizer.zero_grad()
    _loss(model, batch, objective).backward()
    optimizer.step()
    return time.perf_counter() - start


@contextmanager
def saved_bytes(model: torch.nn.Module) -> Iterator[list[int]]:
    """Counts, in the one entry of the list, the bytes that autograd saves in the block; weights of `model` and its base are left out."""
    base = getattr(model, "base", model)
    known = {
        w.untyped_storage().data_ptr()
        for w in (*model.parameters(), *model.buffers(), *base.parameters(), *base.buffers())
    }
    total = [0]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            known.add(storage.data_ptr())
            alive.append(storage)  # so that no later tensor takes the same address
            total[0] += storage.nbytes()
        return tensor

    alive: list[Any] = []
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


@dataclass(frozen=True)
class Peak:
    """The most bytes that a step has allocated at once, on the CPU, above all that was there before: weights, inputs, kept answers.

    `everything` counts each block while it lives. `beside_forward` counts those that were not allocated in a forward pass: the gradients of
    weights and of activations, what the backward pass or the step needs for a moment (a whole gradient of which entries are kept, a weight
    formed anew) and the optimizer's state, but nothing that autograd saved. The gradients of activations grow with the batch. An objective
    that takes gradients itself, such as `PCGrad`, takes them in what counts as the forward pass: only `everything` tells of them.
    """

    everything: int
    beside_forward: int


def peak(model: Adapted, batch: Batch, objective: Objective = supervised) -> Peak:
    """The peak of `model` on `batch` with AdamW, whose state was made by the step before. At a rate of 0, so that no number moves."""
    optimizer = torch.optim.AdamW(model.trainable(), lr=0.0, weight_decay=0.0, fused=True)
    return peak_of_steps(lambda: _loss(model, batch, objective), optimizer)


def peak_of_steps(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> Peak:
    """The peak of two steps of a new optimizer on `loss()`, from a trace of the allocator: of each block when it came, where, and when it
    went. What a matrix library takes for itself does not pass through the allocator."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        for _ in range(2):
            with record_function(_FORWARD):
                value = loss()
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            del value
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    forward = [
        (event["ts"], event["ts"] + event["dur"]) for event in events if event["name"] == _FORWARD
    ]
    blocks = [
        (event["ts"], event["args"]["Addr"], event["args"]["Bytes"])
        for event in events
        if event["name"] == "[memory]"
    ]
    return Peak(_most(blocks, []), _most(blocks, forward))


_FORWARD = "ftkit forward"


def _most(blocks: list[tuple[float, int, int]], left_out: list[tuple[float, float]]) -> int:
    """The most bytes alive at once of `blocks` (time, address, bytes; below 0 when freed), but of those that came in a time `left_out`."""
    alive: dict[int, int] = {}
    now = most = 0
    for when, address, size in sorted(blocks, key=itemgetter(0)):
        if size < 0:
            now -= alive.pop(address, 0)
        elif not any(start <= when <= end for start, end in left_out):
            alive[address] = size
            now += size
            most = max(most, now)
    return most


def flops(work: Any) -> int:
    """The floating-point operations of the matrix products in `work()`, in-place ones and those inside the CPU's fused attention included.

    >>> flops(lambda: torch.ones(2, 3) @ torch.ones(3, 4))
    48
    """
    aten = torch.ops.aten
    unknown_to_torch = {
        aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
        aten.addmm_: _addmm,
    }
    with FlopCounterMode(display=False, custom_mapping=unknown_to_torch) as counter:
        work()
    return int(counter.get_total_flops())


def _addmm(
    total: Any, left: Any, right: Any, *args: Any, out_shape: Any = None, **kwargs: Any
) -> int:
    return 2 * left[0] * left[1] * right[1]


def _attention(
    query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None, **kwargs: Any
) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward(
    gradient: Any,
    query: Any,
    key: Any,
    value: Any,
    *args: Any,
    out_shape: Any = None,
    **kwargs: Any,
) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))
