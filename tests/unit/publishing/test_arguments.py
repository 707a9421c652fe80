"""The arguments of the Python API."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from roar_publisher.publishing.arguments import StrPath, put_order
from roar_publisher.state.errors import UsageProblem


def sources_of(sources: StrPath | Iterable[StrPath] | None) -> tuple[str, ...]:
    return put_order(sources, "/store", "v1", name=None, tag=None, again=False, dataset=False).sources


@pytest.mark.parametrize("sources", [[], (), iter(()), Path("/missing").glob("*.pt")])
def test_no_sources_are_not_all_of_them(sources: Iterable[StrPath]) -> None:
    """A pattern that matches nothing must not publish everything that the session wrote."""
    with pytest.raises(UsageProblem, match="the list of sources is empty"):
        sources_of(sources)


def test_none_means_all_and_one_path_is_one_source() -> None:
    assert sources_of(None) == ()
    assert sources_of("outputs") == sources_of(Path("outputs")) == sources_of(iter(["outputs"])) == ("outputs",)
