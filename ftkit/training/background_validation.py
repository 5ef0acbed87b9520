"""Validate a run between its steps, or in the background on a snapshot of its parameters."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ftkit.training.events import Event

_worker: ContextVar[ThreadPoolExecutor | None] = ContextVar("validation_worker", default=None)


@contextmanager
def in_background() -> Iterator[None]:
    """Validate the runs that begin inside this context on a second thread, while they go on.

    Their events are the same, to the bit; those of a validation arrive some steps later. At the end
    of the context, validations that have not begun are dropped.
    """
    worker = ThreadPoolExecutor(1, "ftkit validation")
    token = _worker.set(worker)
    try:
        yield
    finally:
        _worker.reset(token)
        worker.shutdown(wait=False, cancel_futures=True)


class BackgroundValidation:
    """The validations of one run, in the order in which they were requested.

    Outside `in_background` there is no second thread: each validation is done when it is requested.

    Args:
        validate: from a model and a step to the events of a validation.
    """

    def __init__(self, validate: Callable[[Any, int], list[Event]]) -> None:
        self._validate = validate
        self._worker = _worker.get()
        self._pending: deque[Future[list[Event]]] = deque()
        self._copy: Any = None

    def request(self, model: Any, step: int) -> Iterator[Event]:
        """Request a validation of `model`, an `Adapted`, as it is now.

        Without a second thread, its events come at once. With one, nothing comes: the model's
        parameters and gradients are copied, and the copy is validated in the background.
        """
        if self._worker is None:
            yield from self._validate(model, step)
            return
        state = {name: value.clone() for name, value in model.state_dict().items()}
        gradients = {
            name: parameter.grad.clone()
            for name, parameter in model.named_parameters()
            if parameter.grad is not None
        }
        self._pending.append(
            self._worker.submit(self._validate_copy, model, state, gradients, step)
        )

    def finished(self) -> Iterator[Event]:
        """The events of the validations that have finished since the last call; does not wait."""
        while self._pending and self._pending[0].done():
            yield from self._pending.popleft().result()

    def final(self, model: Any, step: int) -> Iterator[Event]:
        """The events of all pending validations, then those of `model` after its last step.

        This last validation runs on the calling thread, which has nothing else to do.
        """
        yield from self.drain()
        yield from self._validate(model, step)

    def drain(self) -> Iterator[Event]:
        """The events of all pending validations; waits for them."""
        while self._pending:
            yield from self._pending.popleft().result()

    def _validate_copy(
        self, model: Any, state: dict[str, Any], gradients: dict[str, Any], step: int
    ) -> list[Event]:
        # One copy serves all validations of the run, since the one worker thread does them in turn.
        # It is made with the same seed, so that what is drawn and not in the state is the same too.
        if self._copy is None:
            self._copy = type(model)(model.base, *model.spaces, seed=model.seed)
        self._copy.load_state_dict(state)
        for copied, live in zip(self._copy.net.modules(), model.net.modules(), strict=True):
            copied.training = live.training
        for name, parameter in self._copy.named_parameters():
            parameter.grad = gradients.get(name)
        return self._validate(self._copy, step)
