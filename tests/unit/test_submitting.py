"""What the callbacks of the frameworks share; the frameworks themselves run in e2e/python/test_frameworks.py."""

from typing import Any

import pytest

from roar_publisher.integrations import submitting
from roar_publisher.integrations.submitting import Submitter
from roar_publisher.state.errors import LocalProblem


class Recorded:
    """A `CheckpointPublisher` that keeps what it is called with."""

    def __init__(self, destination: str, **arguments: Any) -> None:
        self.arguments = {"destination": destination, **arguments}
        self.submitted: list[tuple[str, int, dict[str, float]]] = []
        self.closed: list[float] = []

    def submit(self, path: str, *, step: int, metrics: dict[str, float]) -> None:
        if path == "gone":
            raise LocalProblem("the checkpoint gone cannot be held", next_step="submit it later")
        self.submitted.append((path, step, metrics))

    def close(self, *, wait: float) -> None:
        self.closed.append(wait)


class Tensor:
    """Several numbers, as PyTorch refuses to convert them."""

    def __float__(self) -> float:
        raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    """Every publisher that was made."""
    found: list[Recorded] = []

    def make(destination: str, **arguments: Any) -> Recorded:
        found.append(Recorded(destination, **arguments))
        return found[-1]

    monkeypatch.setattr(submitting, "CheckpointPublisher", make)
    return found


def submitter(**publishing: Any) -> Submitter:
    return Submitter("s3://bucket/run", visibility="private", publishing=publishing, wait=3.0)


def test_what_the_user_says_precedes_what_the_framework_implies(made: list[Recorded]) -> None:
    submitter(best="accuracy").begin(best="loss", mode="max")
    assert made[0].arguments == {
        "destination": "s3://bucket/run",
        "visibility": "private",
        "best": "accuracy",
        "mode": "max",
    }


def test_one_publisher_serves_a_training_and_another_the_next(made: list[Recorded]) -> None:
    publishing = submitter()
    publishing.begin()
    publishing.begin()
    assert len(made) == 1
    publishing.end()
    publishing.end()
    assert made[0].closed == [3.0]
    publishing.begin()
    assert len(made) == 2


def test_a_rank_that_never_began_submits_nothing(made: list[Recorded]) -> None:
    publishing = submitter()
    publishing.submit("checkpoint", 1, {})
    publishing.end()
    assert not made


def test_a_problem_is_logged_and_the_training_continues(made: list[Recorded], caplog: pytest.LogCaptureFixture) -> None:
    publishing = submitter()
    publishing.begin()
    publishing.submit("gone", 1, {})
    publishing.submit("checkpoint", 2, {})
    assert made[0].submitted == [("checkpoint", 2, {})]
    assert caplog.messages == ["the checkpoint gone cannot be held; next: submit it later"]


def test_metrics_that_are_not_one_number_are_left_out(made: list[Recorded]) -> None:
    publishing = submitter()
    publishing.begin()
    publishing.submit("checkpoint", 1, {"loss": 1, "name": "a", "none": None, "several": Tensor(), "rate": 0.5})
    assert made[0].submitted == [("checkpoint", 1, {"loss": 1.0, "rate": 0.5})]
