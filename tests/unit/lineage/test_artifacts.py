"""The hashes of an artifact in roar.db, including malformed ones."""

import pytest

from roar_publisher.lineage.artifacts import hash_entries, link_digest


@pytest.mark.parametrize(
    ("hashes", "digest"),
    [
        ("", ""),
        ("blake3:aa", "aa"),
        ("sha256:bb blake3:aa", "aa"),
        ("sha256:bb md5:cc", "bb"),
        ('sha256:bb blake3:{"a": nan}', '{"a":'),
        ("no pair", ""),
        (": sha256: :bb", ""),
        ("published 6 jobs:aa", "aa"),
    ],
)
def test_a_hash_that_is_not_a_pair_is_ignored(hashes: str, digest: str) -> None:
    assert link_digest(hashes) == digest


def test_only_pairs_are_sent() -> None:
    assert hash_entries("x sha256:bb : blake3:aa md5:") == [
        {"algorithm": "blake3", "digest": "aa"},
        {"algorithm": "sha256", "digest": "bb"},
    ]
