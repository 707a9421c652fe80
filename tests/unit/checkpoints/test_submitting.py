"""What `submit` takes as a step and as metrics, and which checkpoint is the best."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher import CheckpointPublisher
from roar_publisher.checkpoints.record import End
from roar_publisher.checkpoints.series import TAKEN, WAITING
from roar_publisher.state.errors import UsageProblem
from tests.support.checkpoints import Make


class Number:
    """A number of a framework, such as numpy's."""

    def __init__(self, value: int) -> None:
        self._value = value

    def __index__(self) -> int:
        return self._value

    def __float__(self) -> float:
        return self._value / 2


def waiting(publisher: CheckpointPublisher) -> list[int]:
    return [one.step for one in publisher.checkpoints() if one.state == "waiting"]


@pytest.mark.parametrize(
    ("step", "metrics"),
    [
        (1.0, {}),
        ("1", {}),
        (None, {}),
        (1, {"loss": None}),
        (1, {"loss": "low"}),
        (1, {"loss": 10**400}),
        (1, [("loss", 0.5)]),
    ],
)
def test_what_is_no_number_is_refused_and_leaves_no_second_name_of_a_file(
    make: Make, model: Path, step: int, metrics: dict[str, float]
) -> None:
    with make() as publisher:
        with pytest.raises(UsageProblem, match="is not a number"):
            publisher.submit(model, step=step, metrics=metrics)
        assert list(publisher._series.files.iterdir()) == []
        assert publisher.checkpoints() == []


def test_the_numbers_of_a_framework_are_numbers(make: Make, model: Path) -> None:
    with make() as publisher:
        publisher.submit(model, step=Number(7), metrics={"loss": Number(3)})  # type: ignore[arg-type, dict-item]
    [record] = publisher._series.records(WAITING)
    assert (record.name, record.step, record.metrics) == ("step-00000007", 7, {"loss": 1.5})


@pytest.mark.parametrize("end", [End.CHANGED, End.FAILED])
@pytest.mark.parametrize("resumed", [False, True])
def test_one_that_is_not_published_is_not_the_best(make: Make, model: Path, end: End, resumed: bool) -> None:
    publisher = make(best="loss")
    publisher.submit(model, step=1, metrics={"loss": 0.1})
    series = publisher._series
    assert series.move("step-00000001", WAITING, TAKEN)
    publisher.submit(model, step=2, metrics={"loss": 0.3})
    series.finish(replace(series.records(TAKEN)[0], end=end.value))
    if resumed:
        publisher = make(best="loss")
    for step, loss in ((3, 0.2), (4, 0.9), (5, 0.8)):
        publisher.submit(model, step=step, metrics={"loss": loss})
    assert waiting(publisher) == [3, 5]


def test_one_that_is_published_is_the_best(make: Make, model: Path) -> None:
    publisher = make(best="loss")
    publisher.submit(model, step=1, metrics={"loss": 0.1})
    series = publisher._series
    assert series.move("step-00000001", WAITING, TAKEN)
    series.finish(replace(series.records(TAKEN)[0], end=End.PUBLISHED.value))
    again = make(best="loss")
    for step, loss in ((2, 0.2), (3, 0.3)):
        again.submit(model, step=step, metrics={"loss": loss})
    assert waiting(again) == [3]
