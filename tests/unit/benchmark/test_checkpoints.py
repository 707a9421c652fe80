"""What is computed of a training's checkpoints."""

import pytest
from benchmark.checkpoints import Trained, _figure
from benchmark.measure import Failed


def test_the_figure_is_the_99th_percentile_of_what_is_allowed() -> None:
    trained = Trained([0.001] * 98 + [0.004, 0.5], {1: "superseded", 2: "published", 3: "superseded", 4: "published"})
    figure = _figure(trained, 2_000_000)
    assert figure.values == (40.0,)
    assert figure.detail == "4 ms, half of them 1 ms; 2 published, of these 1 obsolete"


def test_a_newest_checkpoint_that_is_not_published_is_a_failure() -> None:
    with pytest.raises(Failed, match="the newest checkpoint is changed"):
        _figure(Trained([0.001], {1: "published", 2: "changed"}), 1)
