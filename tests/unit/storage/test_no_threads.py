"""Files are read and stored in threads. Where the system has none left, that is a problem of this machine, for now."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.storage.checksums import checksums_of
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import SEGMENT_BYTES, confirm, digest_file
from roar_publisher.storage.file import FileStore
from roar_publisher.storage.slices import chunks
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import ObjectStore
from tests.support.storage.memory import write_file
from tests.support.threads import no_more_threads

Step = Callable[[Content, ObjectStore], Awaitable[object]]


async def send(content: Content) -> list[bytes]:
    return [chunk async for chunk in chunks(content.whole(), lambda sent: None)]


STEPS: dict[str, Step] = {
    "digest": lambda content, store: digest_file(content.path),
    "confirm": lambda content, store: confirm(content),
    "checksums": lambda content, store: checksums_of(content.whole(), md5=False),
    "send": lambda content, store: send(content),
    "look": lambda content, store: store.look("x"),
    "stat": lambda content, store: store.stat("x"),
    "put": lambda content, store: store.put("x", content, lambda sent: None),
    "open": lambda content, store: open_store("s3://bucket", {}),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_thread_that_cannot_be_started_ends_no_put_for_good(step: str, tmp_path: Path) -> None:
    content = anyio.run(digest_file, write_file(tmp_path / "source", 10))

    async def main() -> None:  # in a loop of its own, which has no idle thread
        with no_more_threads(), pytest.raises(LocalProblem, match="may not start more threads") as problem:
            await STEPS[step](content, FileStore(tmp_path / "to", "owner"))
        assert problem.value.conclusion is Conclusion.INTERRUPTED

    anyio.run(main)


def test_a_large_file_is_read_ahead_in_a_thread_of_its_own(tmp_path: Path) -> None:
    path = write_file(tmp_path / "large", SEGMENT_BYTES + 1)

    async def main() -> None:
        await digest_file(path)  # leaves an idle thread, which takes the call but does not read ahead
        with no_more_threads(), pytest.raises(LocalProblem, match="may not start more threads"):
            await digest_file(path)

    anyio.run(main)
