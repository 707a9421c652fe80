"""A publish whose registry came with a project or a bundle: nothing is sent before this user has accepted it."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import httpx2
import pytest
from msgspec.structs import replace

from roar_publisher.engine.credentials import user_send_policy
from roar_publisher.engine.run import Frontend, Resources
from roar_publisher.engine.worker import work
from roar_publisher.lineage.config import DEFAULT_REGISTRY
from roar_publisher.state.errors import LocalProblem, NeedsUser, PublisherError
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import NAMED_BY, NamedBy
from tests.support.engine.publishing import NoJitter
from tests.support.lineages import chain, cut, plan_of

THEIRS = "https://theirs.example"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own; ROAR_ACCESS_TOKEN is in the environment."""
    for name in ("XDG_CONFIG_HOME", "GLAAS_URL", "ROAR_SSH_KEY", "SSH_AUTH_SOCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ROAR_ACCESS_TOKEN", "canary-environment-token")
    return tmp_path


class Listening(httpx2.AsyncBaseTransport):
    """Records every request, and answers none of them well."""

    def __init__(self) -> None:
        self.heard: list[httpx2.Headers] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.heard.append(request.headers)
        return httpx2.Response(403, json={"detail": "no"})


async def gone_on(folder: StateFolder, named_by: object, listening: Listening) -> PublisherError | None:
    """What a process says that goes on with a publish which this is said to have named the registry of."""
    lineage = cut(chain(2))
    with OwnedPublish.create(folder) as owned:
        owned.journal.units.add(lineage.units)
        plan = plan_of(lineage, owned.paths.id, registry=THEIRS)
        intent = {name: value for name, value in plan.intent.items() if name != NAMED_BY}
        intent |= {"flag": "--public"} | ({} if named_by is None else {NAMED_BY: named_by})
        owned.journal.freeze(replace(plan, intent=intent))
        try:
            await work(
                owned,
                folder,
                Frontend(report=lambda report: None, confirm=agreed),
                stop=anyio.Event(),
                resources=Resources(rng=NoJitter(), transport=listening),
            )
        except PublisherError as error:
            return error
    return None


async def agreed(choice: object) -> bool:
    return True


@pytest.mark.parametrize("named_by", [None, NamedBy.PROJECT, NamedBy.BUNDLE, "", "--REGISTRY", ["--registry"], 1])
@pytest.mark.anyio
async def test_a_resumed_publish_sends_nothing_to_an_unaccepted_registry(folder: StateFolder, named_by: object) -> None:
    listening = Listening()
    error = await gone_on(folder, named_by, listening)
    assert isinstance(error, NeedsUser)
    assert f"roar registry trust {THEIRS}" in error.next_step
    assert "--resume" in error.next_step
    assert listening.heard == []


@pytest.mark.parametrize("named_by", [NamedBy.OPTION, NamedBy.ENVIRONMENT, NamedBy.USER, NamedBy.DEFAULT])
@pytest.mark.anyio
async def test_a_registry_accepted_at_planning_stays_accepted(folder: StateFolder, named_by: NamedBy) -> None:
    listening = Listening()
    await gone_on(folder, named_by.value, listening)
    assert listening.heard


@pytest.mark.parametrize(
    "say",
    [
        lambda home: os.environ.__setitem__("GLAAS_URL", f"{THEIRS}:443/elsewhere/"),
        lambda home: _configure(home, f'[glaas]\nurl = "{THEIRS}"\n'),
    ],
    ids=["GLAAS_URL", "own configuration"],
)
def test_the_users_own_word_now_counts_as_well(
    home: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("GLAAS_URL", "")
    assert not user_send_policy(THEIRS, NamedBy.BUNDLE).accepted
    say(home)
    assert user_send_policy(THEIRS, NamedBy.BUNDLE).accepted
    assert user_send_policy(THEIRS, NamedBy.BUNDLE).why_token_denied() is None


def _configure(home: Path, text: str) -> None:
    (home / ".config" / "roar").mkdir(parents=True)
    (home / ".config" / "roar" / "config.toml").write_text(text)


def configure(home: Path, url: str) -> None:
    folder = home / ".config" / "roar"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(f'[glaas]\nurl = "{url}"\n')


@pytest.mark.parametrize("url", ["own.example", "htps://own.example", "https://user:password@own.example"])
def test_a_configured_address_that_is_none_is_not_taken_for_the_default(home: Path, url: str) -> None:
    """The token may be for the registry that it was to name."""
    configure(home, url)
    with pytest.raises(LocalProblem, match="is not the address of a registry") as caught:
        user_send_policy(DEFAULT_REGISTRY, NamedBy.PROJECT)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("named_by", [NamedBy.DEFAULT, NamedBy.PROJECT])
def test_the_default_gets_a_token_once_the_user_names_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, named_by: NamedBy
) -> None:
    def is_denied() -> bool:
        asked = user_send_policy(DEFAULT_REGISTRY, named_by)
        assert asked.accepted
        return asked.why_token_denied() is not None

    monkeypatch.setenv("GLAAS_URL", "")
    assert is_denied()
    configure(home, "https://own.example")
    assert is_denied()
    monkeypatch.setenv("GLAAS_URL", DEFAULT_REGISTRY)
    assert not is_denied()
    monkeypatch.setenv("GLAAS_URL", "")
    configure(home, f"{DEFAULT_REGISTRY}/")
    assert not is_denied()
