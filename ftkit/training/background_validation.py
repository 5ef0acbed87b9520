"""When a run is read: between two steps, or beside them, on a copy of what had been learned by then and of its last gradients."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ftkit.training.events import Event

_second_thread: ContextVar[ThreadPoolExecutor | None] = ContextVar("second_thread", default=None)


@contextmanager
def in_background() -> Iterator[None]:
    """Within it, runs that begin on this thread are read on a second one while they go on. Their events are the same, to the bit; a
    reading comes some steps later. A reading that nobody waits for any more is left undone at the end."""
    second = ThreadPoolExecutor(1, "ftkit readings")
    token = _second_thread.set(second)
    try:
        yield
    finally:
        _second_thread.reset(token)
        second.shutdown(wait=False, cancel_futures=True)


class BackgroundValidation:
    """The readings of one run, in the order in which they were asked for.

    Args:
        read: what a reading of a model after a step has to say.
    """

    def __init__(self, read: Callable[[Any, int], list[Event]]) -> None:
        self._read = read
        self._second = _second_thread.get()
        self._asked: deque[Future[list[Event]]] = deque()
        self._copy: Any = None

    def request(self, model: Any, step: int) -> Iterator[Event]:
        """Asks for a reading of `model`, an `Adapted`, as it is now. Without a second thread its events come at once."""
        if self._second is None:
            yield from self._read(model, step)
        else:
            learned = {name: value.clone() for name, value in model.state_dict().items()}
            pulls = {
                name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
            }
            self._asked.append(self._second.submit(self._later, model, learned, pulls, step))

    def finished(self) -> Iterator[Event]:
        """The events of what has been read by now."""
        while self._asked and self._asked[0].done():
            yield from self._asked.popleft().result()

    def final(self, model: Any, step: int) -> Iterator[Event]:
        """The events of all that is left, then those of a reading of `model` after its last step: read here, since nothing else goes on."""
        yield from self.drain()
        yield from self._read(model, step)

    def drain(self) -> Iterator[Event]:
        """The events of all that is left; waits for them."""
        while self._asked:
            yield from self._asked.popleft().result()

    def _later(
        self, model: Any, learned: dict[str, Any], pulls: dict[str, Any], step: int
    ) -> list[Event]:
        self._copy = self._copy or type(model)(model.base, *model.spaces, seed=model.seed)
        self._copy.load_state_dict(learned)
        for name, weight in self._copy.named_parameters():
            weight.grad = pulls.get(name)
        return self._read(self._copy, step)
