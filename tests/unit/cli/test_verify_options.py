"""Options of `roar verify` that contradict each other."""

import pytest

from roar_publisher.cli.verify.command import verify
from roar_publisher.state.errors import UsageProblem


@pytest.mark.parametrize(
    "option",
    [
        ["--all"],
        ["--older-than", "30d"],
        ["--registry", "http://registry.example"],
        ["--full"],
        ["--sample", "5%"],
        ["--repair"],
        ["--from", "."],
        ["--jobs", "2"],
    ],
    ids=lambda option: option[0],
)
def test_what_says_nothing_about_a_receipt_is_refused_beside_one(option: list[str]) -> None:
    with pytest.raises(UsageProblem, match=f"^{option[0]} does not go with --receipt"):
        verify.main(["--receipt", "receipt.json", "model.bin", *option], standalone_mode=False)
