"""What only a folder can do: be full, be in the way, and hold temporaries."""

import errno
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.system_errors import explain_os_error
from roar_publisher.storage import file
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.parts import MIB
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import Part
from roar_publisher.storage.transfer import transfer
from tests.support.state.syncing import refuse_to_sync_folders
from tests.support.storage.memory import MemoryLedger, nothing, write_file

pytestmark = pytest.mark.anyio


async def put(folder: Path, key: str, content: Content, ledger: MemoryLedger | None = None) -> None:
    async with await open_store(str(folder), {}) as store:
        await transfer(store, key, content, ledger or MemoryLedger(), parts_at_once=2, advance=nothing)


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_nothing_is_left_beside_the_object(tmp_path: Path) -> None:
    for name, size in (("small", 10), ("large", 20 * MIB)):
        await put(tmp_path / "to", f"a/{name}", await digest_file(write_file(tmp_path / name, size)))
    assert everything_in(tmp_path / "to") == ["a/large", "a/small"]


@pytest.mark.parametrize("size", [1000, 20 * MIB])
async def test_a_full_disk_is_reported_and_the_upload_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    content = await digest_file(write_file(tmp_path / "source", size))
    ledger = MemoryLedger()
    with monkeypatch.context() as disk:
        disk.setattr(os, "pwrite", full)
        with pytest.raises(LocalProblem, match="No space left") as caught:
            await put(tmp_path / "to", "object", content, ledger)
    assert caught.value.reason == "disk full"
    assert "object" not in everything_in(tmp_path / "to")
    await put(tmp_path / "to", "object", content, ledger)
    assert everything_in(tmp_path / "to") == ["object"]


async def test_a_file_in_the_place_of_a_folder_is_reported(tmp_path: Path) -> None:
    content = await digest_file(write_file(tmp_path / "source", 10))
    (tmp_path / "to").write_bytes(b"")
    with pytest.raises(LocalProblem, match="cannot be written"):
        await put(tmp_path / "to", "object", content)


async def test_a_folder_in_the_place_of_the_object_is_reported(tmp_path: Path) -> None:
    content = await digest_file(write_file(tmp_path / "source", 10))
    write_file(tmp_path / "to" / "object" / "inside", 1)
    with pytest.raises(LocalProblem, match="cannot be written"):
        await put(tmp_path / "to", "object", content)
    assert everything_in(tmp_path / "to") == ["object/inside"]


async def test_a_file_system_without_files_of_that_size_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT has files of up to 4 GiB; a fetch to it says the same."""
    failure = OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    def too_large(*arguments: object) -> int:
        raise failure

    content = await digest_file(write_file(tmp_path / "source", 10))
    monkeypatch.setattr(os, "pwrite", too_large)
    with pytest.raises(LocalProblem, match="the file is too large for its file system") as caught:
        await put(tmp_path / "to", "object", content)
    assert "ulimit -f" in caught.value.next_step
    assert "ulimit -f" in explain_os_error(failure, Reason.LOCAL).remedy


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.ENOSYS])
async def test_a_folder_that_cannot_be_synced_still_stores_the_object(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_to_sync_folders(monkeypatch, code)
    monkeypatch.delattr(os, "link")
    for size in (10, 20 * MIB):
        await put(tmp_path / "to", f"object{size}", await digest_file(write_file(tmp_path / "source", size)))
    assert everything_in(tmp_path / "to") == ["object10", "object20971520"]


async def test_an_object_reaches_the_disk_before_it_is_visible_and_its_name_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        sync(descriptor)
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        synced.append(("folder" if is_folder else "content", (tmp_path / "to" / "object").exists()))

    monkeypatch.setattr(os, "fsync", noted)
    await put(tmp_path / "to", "object", await digest_file(write_file(tmp_path / "source", 10)))
    assert synced[-2:] == [("content", False), ("folder", True)]


async def test_a_write_only_folder_stores_the_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opening = os.open

    def refusing(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECTORY:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return opening(path, flags, mode)

    monkeypatch.setattr(os, "open", refusing)
    await put(tmp_path / "to", "object", await digest_file(write_file(tmp_path / "source", 10)))
    assert everything_in(tmp_path / "to") == ["object"]


@pytest.mark.parametrize(("code", "reason"), [(errno.EIO, "destination"), (errno.EDQUOT, "disk full")])
async def test_a_failed_sync_of_the_folder_is_reported(
    code: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(LocalProblem) as caught:
        await put(tmp_path / "to", "object", await digest_file(write_file(tmp_path / "source", 10)))
    assert caught.value.reason == reason


async def test_a_file_that_replaces_the_object_at_once_does_not_pass_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes to the same address, right after the object has its name, or was read."""
    content, place = await digest_file(write_file(tmp_path / "source", 10)), tmp_path / "to" / "object"

    def replace(*_: object) -> None:
        write_file(tmp_path / "other", 10, seed=2)
        (tmp_path / "other").replace(place)

    async with await open_store(str(tmp_path / "to"), {}) as store:
        with monkeypatch.context() as patch:
            patch.setattr(file, "sync_folder", replace)
            stored = await store.put("object", content, lambda sent: None)
        assert await store.is_lost("object", content, stored.tag)

        stored = await store.put("object", content, lambda sent: None)
        assert not await store.is_lost("object", content, stored.tag)
        really_digest = digest_file

        async def digest_and_replace(path: str) -> Content:
            found = await really_digest(path)
            replace()
            return found

        with monkeypatch.context() as patch:
            patch.setattr(file, "digest_file", digest_and_replace)
            found = await store.stat("object")
        assert found is not None
        assert store.matches(found, content)
        assert await store.is_lost("object", content, found.tag)


@pytest.mark.parametrize("size", [10, 20 * MIB])
async def test_what_a_read_only_folder_has_already_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    content = await digest_file(write_file(tmp_path / "source", size))
    await put(tmp_path / "to", "object", content)
    for name in ("unlink", "open", "mkdir"):
        monkeypatch.setattr(Path, name, refuse)  # Linux says so before it looks for the file
    await put(tmp_path / "to", "object", content)


async def test_a_folder_that_cannot_be_created_is_a_wrong_destination(tmp_path: Path) -> None:
    content = await digest_file(write_file(tmp_path / "source", 10))
    with pytest.raises(LocalProblem, match="cannot be written") as caught:
        await put(Path("/proc/nowhere"), "object", content)
    assert caught.value.reason == "destination"


async def test_a_damaged_temporary_file_is_not_used(tmp_path: Path) -> None:
    content = await digest_file(write_file(tmp_path / "source", 20 * MIB))
    async with await open_store(str(tmp_path / "to"), {}) as store:
        ledger = MemoryLedger()
        upload = await store.begin("object", content)
        await ledger.record_upload(upload)
        for number in (1, 2):
            await ledger.record_part(await store.put_part(upload, number, content.part(number), lambda sent: None))
    (temporary,) = (tmp_path / "to").iterdir()
    with temporary.open("r+b") as file:
        file.seek(9 * MIB)
        file.write(b"damage")
    await put(tmp_path / "to", "object", content, ledger)
    assert (tmp_path / "to" / "object").read_bytes() == (tmp_path / "source").read_bytes()


@pytest.mark.parametrize("step", ["put_part", "parts", "complete"])
@pytest.mark.parametrize("make", [os.symlink, os.link])
async def test_a_link_in_the_place_of_the_temporary_file_is_not_followed(
    tmp_path: Path, step: str, make: Callable[[Path, Path], None]
) -> None:
    """Somebody else may write into the folder, too, and would have any file of this user overwritten."""
    content = await digest_file(write_file(tmp_path / "source", 10))
    own = tmp_path / "own"
    own.write_bytes((tmp_path / "source").read_bytes() if step == "complete" else b"private")
    before = own.read_bytes()
    async with await open_store(str(tmp_path / "to"), {}) as store:
        upload = await store.begin("model", content)
        (temporary,) = (tmp_path / "to").iterdir()
        temporary.unlink()
        make(own, temporary)
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "put_part": lambda: store.put_part(upload, 1, content.whole(), lambda count: None),
            "parts": lambda: store.parts(upload),
            "complete": lambda: store.complete(upload, content, {1: Part(1, 10, content.blake3, "")}),
        }
        with pytest.raises(LocalProblem, match="links"):
            await steps[step]()
    assert own.read_bytes() == before
    assert not (tmp_path / "to" / "model").exists()
