"""What a training step costs: parameters, floating-point operations, bytes by kind, seconds."""

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

from ftkit import checks
from ftkit.model.adapted import Adapted
from ftkit.model.change import Dense
from ftkit.model.objective import Objective, check_objective, check_terms, supervised
from ftkit.tasks.task import Batch

MOST_REPEATS = 1000


@dataclass(frozen=True)
class Cost:
    """The cost of one training step of one model on one batch.

    Args:
        trainable: the number of trainable parameters.
        flops: floating-point operations of the matrix products in forward and backward pass; a
            multiply-add counts as two.
        weights: bytes of the weights of base and change.
        gradients: bytes of the gradients.
        optimizer: bytes of AdamW's state.
        activations: bytes that autograd saves for the backward pass: each storage once, weights
            left out.
        disk: bytes of the learned change in a file.
        seconds: the shortest of a few steps.
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
    """Measure what a step of `model` on `batch` costs.

    The parameters of the model are restored afterwards.

    Args:
        repeats: how many steps are timed.

    Raises:
        ValueError: an argument of another kind, repeats below 1, or a model without trainable
            parameters.
    """
    checks.instance("model", model, Adapted, "an Adapted", "write Adapted(base, LoRA(4))")
    check_objective(objective)
    checks.whole("repeats", repeats, 1, MOST_REPEATS, "3 are usual")
    if not model.trainable():
        raise ValueError(
            "the model must have trainable parameters, got spaces without any; "
            "add a space, such as Only('heads.*')"
        )
    state = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = model.trainable()
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.0, fused=True)
    try:
        with saved_bytes(model) as saved:
            loss = _loss(model, batch, objective)
        loss.backward()
        gradients = sum(_bytes(p.grad) for p in parameters if p.grad is not None)
        seconds = min(_step(model, batch, objective, optimizer) for _ in range(repeats))
        return Cost(
            trainable=sum(p.numel() for p in parameters),
            flops=flops(lambda: _loss(model, batch, objective).backward()),
            weights=_weight_bytes(model),
            gradients=gradients,
            optimizer=_state_bytes(optimizer),
            activations=saved.total,
            disk=len(save({name: value.contiguous() for name, value in state.items()})),
            seconds=seconds,
        )
    finally:
        model.load_state_dict(state)
        for parameter in parameters:
            parameter.grad = None


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _weight_bytes(model: Adapted) -> int:
    """The bytes of the base's weights, and of the change that is in memory in addition to them.

    A dense change takes the place of its weight and adds none.
    """
    added = [
        value
        for change in model.changes.values()
        if not isinstance(change, Dense)
        for value in change.state_dict().values()
    ]
    once = {id(weight): weight for weight in (*model.base.parameters(), *added)}
    return sum(_bytes(weight) for weight in once.values())


def _state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """The bytes of the optimizer's state, without the step counters."""
    return sum(
        _bytes(value)
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, Tensor) and value.ndim
    )


def _loss(model: Adapted, batch: Batch, objective: Objective) -> Tensor:
    terms = objective(model, batch)
    check_terms(terms)
    return torch.stack(list(terms.values())).sum()


def _step(
    model: Adapted, batch: Batch, objective: Objective, optimizer: torch.optim.Optimizer
) -> float:
    """Do one training step; return its seconds."""
    device = model.trainable()[0].device
    start = time.perf_counter()
    optimizer.zero_grad()
    _loss(model, batch, objective).backward()
    optimizer.step()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)  # operations there end later than the calls
    return time.perf_counter() - start


class SavedBytes:
    """Counts the bytes that autograd saves, each storage once.

    Args:
        known: the addresses of storages that do not count.
    """

    def __init__(self, known: set[int]) -> None:
        self.total = 0
        self._known = known
        self._alive: list[Any] = []

    def add(self, tensor: Tensor) -> Tensor:
        """Count a tensor that autograd is about to save, and hand it on unchanged."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._known.add(storage.data_ptr())
            self._alive.append(storage)  # a freed storage's address could be taken by a later one
            self.total += storage.nbytes()
        return tensor


@contextmanager
def saved_bytes(model: torch.nn.Module) -> Iterator[SavedBytes]:
    """Count the bytes that autograd saves in this block; `.total` has the sum.

    Weights and buffers of `model`, of its base and of its changed network do not count.
    """
    nets = (model, getattr(model, "base", model), getattr(model, "net", model))
    weights = [value for net in nets for value in (*net.parameters(), *net.buffers())]
    saved = SavedBytes({weight.untyped_storage().data_ptr() for weight in weights})
    with saved_tensors_hooks(saved.add, lambda tensor: tensor):
        yield saved


@dataclass(frozen=True)
class Peak:
    """The most bytes that a step had allocated at once, on the CPU.

    What was there before the step is left out: weights, inputs, cached features.

    Args:
        everything: each allocated block counts while it lives.
        outside_forward: only blocks that were allocated outside a forward pass count: gradients of
            weights and of activations, what the backward pass or the optimizer needs for a moment
            (the whole gradient of a sparse layer, a weight formed again), and the optimizer's
            state. What autograd saved does not count. The gradients of activations grow with the
            batch. An objective that computes gradients itself, such as `PCGrad`, does so in what
            counts as the forward pass: only `everything` includes them.
    """

    everything: int
    outside_forward: int


def peak(model: Adapted, batch: Batch, objective: Objective = supervised) -> Peak:
    """Measure the peak memory of a step of `model` on `batch` with AdamW.

    The optimizer's state exists already when the measured step begins. The learning rate is 0, so
    that no parameter moves.

    Raises:
        ValueError: the model is not on the CPU.
    """
    device = model.trainable()[0].device
    if device.type != "cpu":
        raise ValueError(
            f"peak must measure on the CPU, got a model on {device}; "
            "torch.accelerator.max_memory_allocated() measures there"
        )
    optimizer = torch.optim.AdamW(model.trainable(), lr=0.0, weight_decay=0.0, fused=True)
    return peak_of_steps(lambda: _loss(model, batch, objective), optimizer)


def peak_of_steps(loss: Callable[[], Tensor], optimizer: torch.optim.Optimizer) -> Peak:
    """Measure the peak memory of two steps of a new optimizer on `loss()`.

    The first step creates the optimizer's state, so that the second one has it from the start.
    Memory is read from a trace of PyTorch's allocator; what a matrix library allocates for itself
    does not pass through it.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        for _ in range(2):
            with record_function(_FORWARD):
                value = loss()
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            del value
    # The profiler hands its events out as a Chrome trace, a JSON file. Times are microseconds.
    with TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        events = json.loads(file.read_text())["traceEvents"]
    # `record_function` wrote one event of this name for each forward pass: its start and duration.
    forward_passes = [
        (event["ts"], event["ts"] + event["dur"]) for event in events if event["name"] == _FORWARD
    ]
    # The allocator wrote an event for each block it gave out, and one for each it took back, with
    # the same address and a negative size.
    blocks = [
        (event["ts"], event["args"]["Addr"], event["args"]["Bytes"])
        for event in events
        if event["name"] == "[memory]"
    ]
    return Peak(_most(blocks, []), _most(blocks, forward_passes))


_FORWARD = "ftkit forward"


def _most(blocks: list[tuple[float, int, int]], left_out: list[tuple[float, float]]) -> int:
    """The most bytes alive at once.

    Args:
        blocks: (time, address, bytes) of each allocation; bytes are below 0 when a block is freed.
        left_out: (start, end) of the times whose allocations do not count.
    """
    alive: dict[int, int] = {}
    now = most = 0
    for when, address, size in sorted(blocks, key=itemgetter(0)):
        if size < 0:
            # A block that is not in `alive` was left out, or was allocated before the trace.
            now -= alive.pop(address, 0)
        elif not any(start <= when <= end for start, end in left_out):
            alive[address] = size
            now += size
            most = max(most, now)
    return most


def flops(work: Any) -> int:
    """Count the floating-point operations of the matrix products in `work()`.

    In-place products and those inside the CPU's fused attention are included.

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
