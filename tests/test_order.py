"""The longest files of tests begin first; each is there under its name."""

from pathlib import Path

from tests.support.order import LONGEST

TESTS = Path(__file__).parent


def test_each_long_file_exists() -> None:
    assert [name for name in LONGEST if not (TESTS / name).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
