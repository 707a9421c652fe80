"""What the callbacks of the frameworks share."""

import logging
from collections.abc import Mapping
from typing import Any

from roar_publisher.checkpoints.publisher import CheckpointPublisher
from roar_publisher.publishing.arguments import StrPath, Visibility
from roar_publisher.state.errors import PublisherError

log = logging.getLogger("roar_publisher")


class Submitter:
    """A `CheckpointPublisher` from the beginning of a training to its end.

    Arguments are those of the callbacks. Between `end` and `begin`, and on ranks that never begin, `submit` and `end`
    do nothing.
    """

    def __init__(
        self, destination: StrPath, *, visibility: Visibility | None, publishing: Mapping[str, Any] | None, wait: float
    ) -> None:
        self._destination = destination
        self._publishing = {"visibility": visibility, **(publishing or {})}
        self._wait = wait
        self._publisher: CheckpointPublisher | None = None

    def begin(self, **defaults: Any) -> None:
        """Begin to publish; `defaults` are arguments that the user may have overridden. Repetition is harmless.

        Raises UsageProblem and LocalProblem for a mistake in the arguments, or a project that no put could use.
        """
        if self._publisher is None:
            self._publisher = CheckpointPublisher(self._destination, **(defaults | self._publishing))

    def submit(self, path: StrPath, step: int, metrics: Mapping[str, Any]) -> None:
        """Submit a checkpoint. A problem is logged, because the training is worth more than one checkpoint.

        metrics: those that are not one number are left out.
        """
        if self._publisher is None:
            return
        try:
            self._publisher.submit(path, step=step, metrics=_numbers(metrics))
        except PublisherError as problem:
            log.error("%s; next: %s", problem.what, problem.next_step)

    def end(self) -> None:
        """Wait as long as the user allows until everything is published."""
        if self._publisher is not None:
            self._publisher.close(wait=self._wait)
            self._publisher = None


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, value in metrics.items():
        try:
            found[name] = float(value)
        except (TypeError, ValueError, RuntimeError):  # the last is what a tensor of several numbers raises
            continue
    return found
