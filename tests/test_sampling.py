"""Samples of sweeps: every kind is in each, and one seed always chooses the same."""

import pytest

from tests.support import sampling

CASES = [(letter, number) for letter in "abcdef" for number in range(20)]


@pytest.fixture(autouse=True)
def _default_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "EXHAUSTIVE", False)


@pytest.mark.parametrize("seed", range(20))
def test_every_kind_is_sampled(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SEED", str(seed))
    chosen = sampling.sample("cases", CASES, 0, lambda case: case[0], lambda case: case[1])
    assert {letter for letter, _ in chosen} == set("abcdef")
    assert {number for _, number in chosen} == set(range(20))
    assert len(chosen) <= 26
    assert chosen == sorted(chosen)


def test_a_sample_has_the_size_that_was_asked_for() -> None:
    assert len(set(sampling.sample("cases", CASES, 30, lambda case: case[0]))) == 30
    assert sampling.sample("cases", CASES, 1000) == CASES


def test_one_seed_chooses_the_same_and_another_sweep_something_else() -> None:
    first = sampling.sample("cases", CASES, 30)
    assert sampling.sample("cases", CASES, 30) == first
    assert sampling.sample("other cases", CASES, 30) != first


def test_an_exhaustive_run_takes_every_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "EXHAUSTIVE", True)
    assert sampling.sample("cases", CASES, 1) == CASES


@pytest.mark.parametrize("seed", range(20))
def test_pairs_have_each_case_of_both_lists(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "SEED", str(seed))
    paired = sampling.pairs("cases", "abc", range(8))
    assert ({letter for letter, _ in paired}, {number for _, number in paired}) == (set("abc"), set(range(8)))
    assert len(paired) == 8


def test_an_exhaustive_run_takes_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "EXHAUSTIVE", True)
    assert len(sampling.pairs("cases", "abc", range(8))) == 24
