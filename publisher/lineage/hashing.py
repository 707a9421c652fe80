"""Computes two hashes of one lineage, as captured and as sent, in bounded memory.

The remote job uids are derived from the first, unredacted one (`protocol.md §6`). The registry hashes what it received,
so the lineage is published under the second. They differ if a secret was redacted.
"""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Self

from roar_publisher.lineage.canonical import LineageHasher
from roar_publisher.lineage.gitcontext import GitContext
from roar_publisher.lineage.sorting import ExternalSort, Key


class LineageHashes:
    """Computes both hashes, job by job, in any order.

    Use as a context manager: leaving it removes temporary files.
    """

    def __init__(self, git: GitContext, identities: Iterable[str]) -> None:
        names = tuple(identities)
        self._captured = LineageHasher(git.repo, git.commit, git.branch, names)
        self._sent = LineageHasher(git.repo, git.commit, git.branch, names)
        self._same, self._before, self._after = ExternalSort(), ExternalSort(), ExternalSort()
        self._differ = False
        self._files = ExitStack()

    def __enter__(self) -> Self:
        for sorter in (self._same, self._before, self._after):
            self._files.enter_context(sorter)
        return self

    def __exit__(self, *_error: object) -> None:
        self._files.close()

    def add(self, captured: Key, sent: Key | None = None) -> None:
        """Add a job. sent: the job as sent, if that differs from what was captured."""
        if sent is None:
            self._same.add(captured)
            return
        self._differ = True
        self._before.add(captured)
        self._after.add(sent)

    def digests(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the hash as captured and the hash as sent, each by identity. Call once."""
        streams = (
            _tagged(self._same, captured=True, sent=self._differ),
            _tagged(self._before, captured=True, sent=False),
            _tagged(self._after, captured=False, sent=True),
        )
        for key, captured, sent in heapq.merge(*streams):
            if captured:
                self._captured.add(key[2])
            if sent:
                self._sent.add(key[2])
        captured_hashes = self._captured.digests()
        return captured_hashes, self._sent.digests() if self._differ else dict(captured_hashes)


def _tagged(sorter: ExternalSort, *, captured: bool, sent: bool) -> Iterator[tuple[Key, bool, bool]]:
    return ((key, captured, sent) for key in sorter.sorted())
