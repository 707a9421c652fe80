"""No object that holds a credential shows it: not by repr, str, format or pickle, nor as a local in a traceback."""

import errno
import os
import pickle
import traceback
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.signin import Document, SignIn
from roar_publisher.auth.sshkey import load_signer
from roar_publisher.state.errors import LocalProblem, NeedsUser
from tests.support.auth.openssh import PASSPHRASE, make_key
from tests.support.auth.signed_in import ACCESS, NOW, REFRESH, STATE, auth_json, store
from tests.support.checkout import TESTS

CANARY = "canary"
FIRST = Secret(ACCESS)


def forms(canary: str) -> Iterator[str]:
    """The ways a credential may stand in a text."""
    yield canary
    yield b64encode(canary.encode()).decode().rstrip("=")[:-1]
    yield canary.encode().hex()
    yield quote(canary, safe="")


def shows(text: str, *canaries: str) -> list[str]:
    return [form for canary in (CANARY, *canaries) for form in forms(canary) if form in text]


def everything_said(error: BaseException) -> str:
    """The error and all that led to it, with every local of every frame, suppressed contexts too."""
    shown, pending, seen = "", [error], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        summary = traceback.TracebackException.from_exception(current, capture_locals=True)
        own = [frame for frame in summary.stack if not frame.filename.startswith(str(TESTS))]
        shown += "".join(traceback.StackSummary.from_list(own).format()) + "".join(summary.format_exception_only())
        pending += [linked for linked in (current.__cause__, current.__context__) if linked is not None]
    return shown


def test_this_test_sees_a_local_that_shows_a_credential() -> None:
    source = "def leak():\n    token = 'canary-access-0'\n    raise ValueError('no')\nleak()"
    with pytest.raises(ValueError, match="no") as caught:
        exec(compile(source, "/elsewhere.py", "exec"), {})
    assert shows(everything_said(caught.value)) == [CANARY, CANARY]


async def objects(folder: Path) -> list[object]:
    key = make_key(folder / "key", "ed25519")
    document = Document(STATE)
    return [
        FIRST,
        document,
        document.sign_in(),
        document.serialised(),
        store(folder),
        BearerStore(folder, Secret(ACCESS)),
        await load_signer(key, agent=None, ask=None),
    ]


@pytest.mark.anyio
async def test_no_object_shows_its_credential(tmp_path: Path) -> None:
    for held in await objects(tmp_path):
        line = (tmp_path / "key").read_text().splitlines()[3]
        for text in (repr(held), str(held), f"{held}", f"{held!r:>40}", f"{[held]}", "%s" % (held,)):  # noqa: UP031
            assert shows(text, line) == []
        try:
            pickled = pickle.dumps(held)
        except TypeError:
            continue
        assert shows(pickled.decode("latin-1"), line) == []


def test_a_secret_is_compared_but_neither_hashed_nor_formatted_open() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    with pytest.raises(TypeError):
        hash(Secret("a"))
    assert f"{Secret('a'):*>10}" == "**<secret>"


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(5, "broken")], ids=repr)
@pytest.mark.anyio
async def test_a_refresh_that_fails_shows_no_token(error: Exception, tmp_path: Path) -> None:
    async def post(body: Document) -> dict[str, object]:
        assert body["refresh_token"] == REFRESH
        raise error

    with pytest.raises(type(error)) as caught:
        await store(tmp_path).refresh(post, FIRST, NOW)
    assert shows(everything_said(caught.value)) == []


@pytest.mark.anyio
async def test_an_answer_that_cannot_be_kept_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def post(_body: Document) -> dict[str, object]:
        def full(_descriptor: int, _data: bytes, _offset: int) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "pwrite", full)
        return {"access_token": "canary-access-1", "refresh_token": "canary-refresh-1"}

    with pytest.raises(LocalProblem) as caught:
        await store(tmp_path).refresh(post, FIRST, NOW)
    assert shows(everything_said(caught.value)) == []


@pytest.mark.parametrize("changes", [{"expires_at": "soon"}, {"user": ["x"]}, {"refresh_token": "canary with spaces"}])
def test_an_unusable_state_is_not_shown(changes: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(NeedsUser) as caught:
        store(tmp_path, **changes).current()
    assert shows(everything_said(caught.value)) == []


def test_a_broken_state_is_not_shown(tmp_path: Path) -> None:
    path = auth_json(tmp_path)
    path.write_text(path.read_text()[:-3])
    with pytest.raises(NeedsUser) as caught:
        BearerStore(path).current()
    assert shows(everything_said(caught.value)) == []


@pytest.mark.anyio
async def test_a_key_that_is_not_unlocked_shows_neither_itself_nor_what_was_typed(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519", passphrase=PASSPHRASE)
    line = key.read_text().splitlines()[3]
    with pytest.raises(NeedsUser) as caught:
        await load_signer(key, agent=None, ask=lambda _prompt: Secret("canary-wrong"))
    assert shows(everything_said(caught.value), line) == []


@pytest.mark.anyio
async def test_a_broken_key_is_not_shown(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519")
    lines = key.read_text().splitlines()
    key.write_text("\n".join([*lines[:-2], lines[-1]]))
    with pytest.raises(NeedsUser) as caught:
        await load_signer(key, agent=None, ask=None)
    assert shows(everything_said(caught.value), lines[3]) == []


def test_the_repr_of_a_sign_in_shows_the_user_and_no_credential() -> None:
    shown = repr(SignIn(FIRST, Secret(REFRESH), NOW, "treqs", "user-1", "db-1"))
    assert "user-1" in shown
    assert shows(shown) == []
