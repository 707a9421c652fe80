"""What is typed after `roar fetch`: the lineage, and the files of it."""

import pytest

from roar_publisher.fetching.stored import MOST_NAMED, StoredFile, check_lineage, select
from roar_publisher.state.errors import UsageProblem


@pytest.mark.parametrize(
    ("number", "named"),
    [(0, ""), (2, "; it has 0, 1"), (MOST_NAMED + 3, ", ".join(map(str, range(10))) + " and 3 more")],
)
def test_a_selection_that_names_no_file_is_answered_with_the_names(number: int, named: str) -> None:
    files = [StoredFile(f"{one:064x}", f"s3://bucket/{one}", str(one)) for one in range(number)]
    with pytest.raises(UsageProblem) as caught:
        select(files, [], ["outputs/*"], {})
    assert caught.value.what.endswith(f"matches 'outputs/*'{named}" if number < 3 else named)


def test_the_names_of_a_stranger_are_on_one_line() -> None:
    with pytest.raises(UsageProblem, match=r"it has a\\nb$"):
        select([StoredFile("ab" * 32, "s3://bucket/x", "a\nb")], [], ["x"], {})


@pytest.mark.parametrize("typed", ["{}", "https://glaas.example/dag/{}", "http://127.0.0.1:8123/base/dag/{}/"])
def test_a_lineage_is_named_by_the_address_of_its_page_too(typed: str) -> None:
    assert check_lineage(typed.format("ab" * 32)) == "ab" * 32


@pytest.mark.parametrize(
    "typed", ["https://glaas.example/dag/", "https://glaas.example/artifact/abababab", "x/dag/abababab"]
)
def test_another_address_names_no_lineage(typed: str) -> None:
    with pytest.raises(UsageProblem, match="neither the hash"):
        check_lineage(typed)
