"""A fetch reads links and addresses alone: it computes no hash, so newer rules for one do not matter."""

from typing import Any

import pytest

from roar_publisher.fetching.asking import LineageReader
from roar_publisher.fetching.reading import jobs_of
from roar_publisher.glaas.client import ANONYMOUS
from roar_publisher.state.errors import Rejected
from roar_publisher.verification.reading import ReadbackPage

JOB = {"job_uid": "1", "command": "x", "job_type": "run", "step_number": 3, "inputs": [], "outputs": []}


class PagedRegistry:
    """A registry that serves one page again and again, or once."""

    def __init__(self, following: str | None) -> None:
        self.following = following
        self.client = self
        self.authorizer = ANONYMOUS

    async def serves_pages(self) -> bool:
        return True

    async def call(self, _method: str, _path: str, **_options: Any) -> ReadbackPage:
        git = dict.fromkeys(("repo", "commit", "branch"))
        page = {"next": self.following, "hash": "ab" * 32, "canonical_version": 99, "finalized": True}
        return ReadbackPage.read({**page, "creator_identity": "", "git": git, "jobs": [JOB]})


async def steps(registry: PagedRegistry) -> list[int | None]:
    reader: LineageReader = registry  # type: ignore[assignment]
    return [job.step async for job in jobs_of(reader, "ab" * 32)]


@pytest.mark.anyio
async def test_a_lineage_of_a_newer_registry_is_read() -> None:
    assert await steps(PagedRegistry(None)) == [3]


@pytest.mark.anyio
async def test_pages_that_never_end_are_refused() -> None:
    with pytest.raises(Rejected, match="again and again"):
        await steps(PagedRegistry("1"))
