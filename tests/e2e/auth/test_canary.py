"""No credential is anywhere but in its own place: not in a file, on a screen, in a log, or in another's request.

Every run logs all that can be logged, from every library, and traces its own defects.
"""

import json
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.publish.test_terminal import at_terminal
from tests.support.auth.desk import Desk, alices_desk
from tests.support.auth.front import Answer, Front, Seen, front
from tests.support.auth.markers import forms, shown, shown_below
from tests.support.auth.openssh import PASSPHRASE, add_to_agent, running_agent
from tests.support.cli.program import PATIENCE, Ended, run
from tests.support.fork_server import Order
from tests.support.lineage.captured import git
from tests.support.sampling import sample

CREDENTIALS = ("bearer", "environment", "key", "agent", "nothing")
IN_A_COMMAND = "ghp_c4n4ryc4n4ryc4n4ryc4n4ryc4n4ryc4n4ry"
IN_THE_REMOTE = "canary-of-the-git-remote"
IN_THE_ADDRESS = "canary-of-the-registry-address"
ID_TOKEN = "canary-of-the-id-token"


@dataclass
class Watched:
    """A desk, what stands in front of its registry, and every credential that there is on it.

    places: the files that are there to hold a credential.  outputs: what its programs wrote.
    """

    desk: Desk
    front: Front
    markers: dict[str, str]
    places: list[Path] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)

    def roar(self, *arguments: str, **more: str) -> int:
        """Run the program loudly; its exit code.  more: for its environment."""
        return self._keep(run(self._order(arguments, more))).code

    def killed_at_finalize(self, *arguments: str) -> None:
        """Run the program loudly until it waits for the answer to finalize, then SIGKILL it."""
        reached, release = threading.Event(), threading.Event()

        def hold(seen: Seen) -> None:
            if seen.path.endswith("/finalize"):
                reached.set()
                release.wait(PATIENCE)

        self.front.rule = hold
        killed = self._keep(run(self._order(arguments, {}), kill_after=lambda: reached.wait(PATIENCE)))
        assert reached.is_set()
        assert killed.code == -signal.SIGKILL
        self.front.rule = lambda seen: None
        release.set()

    def _order(self, arguments: tuple[str, ...], more: Mapping[str, str]) -> Order:
        loudly = {"TMPDIR": str(self._temporary), "ROAR_DEBUG": "1", **more}
        program = self.desk.program
        return Order("tests.support.auth.loud", arguments, str(program.cwd), program.env | loudly)

    def _keep(self, ended: Ended) -> Ended:
        self.outputs += [ended.out.encode(), ended.err.encode()]
        return ended

    def check(self, *also: Path) -> None:
        """Assert that no credential is anywhere but in its place.  also: places that are there just now."""
        markers = self.markers | self._given_by_the_registry()
        home, data = self.desk.home, self.desk.data
        for folder in (home, self.desk.program.state, self._temporary):
            assert shown_below(folder, markers, but=[*self.places, *also]) == {}, folder
        bearers = {name: marker for name, marker in markers.items() if "session" not in name}
        assert shown_below(data, bearers) == {}, "the registry keeps hashes"
        for output in self.outputs:
            assert shown(output, markers) == set(), output.decode(errors="replace")
        for seen in self.front.seen:
            self._check_request(seen, markers)

    def _check_request(self, seen: Seen, markers: Mapping[str, str]) -> None:
        assert shown(seen.path.encode(), markers) == set()
        others = {name: value for name, value in seen.headers.items() if name != "authorization"}
        assert shown(repr(others).encode(), markers) == set()
        if not seen.path.endswith("/auth/refresh"):
            assert shown(seen.body, markers) == set(), seen.path

    def _given_by_the_registry(self) -> dict[str, str]:
        given = {}
        for number, reply in enumerate(self.front.replies("/registration-sessions")):
            if token := json.loads(reply).get("registration_session_token"):
                given[f"session token {number}"] = token
        for number, reply in enumerate(self.front.replies("/auth/refresh")):
            tokens = json.loads(reply)
            given |= {f"{name} {number}": tokens[name] for name in ("access_token", "refresh_token") if name in tokens}
        return given

    @property
    def _temporary(self) -> Path:
        return self.desk.home.parent / "tmp"


def with_secrets(desk: Desk) -> dict[str, str]:
    """Put secrets into what is published: a command and the git remote."""
    project = desk.program.cwd
    with closing(sqlite3.connect(project / ".roar" / "roar.db")) as connection:
        connection.execute("UPDATE jobs SET command = command || ?", (f" --note {IN_A_COMMAND}",))
        connection.commit()
    git("remote", "set-url", "origin", f"https://alice:{IN_THE_REMOTE}@github.com/acme/linear.git", cwd=project)
    return {"in a command": IN_A_COMMAND, "in the remote": IN_THE_REMOTE}


def key_markers(key: Path) -> dict[str, str]:
    """The lines of a private key that only its owner has: those after the public half and the salt."""
    lines = key.read_text().splitlines()[1:-1]
    return {f"private key, line {number}": line for number, line in enumerate(lines) if number >= 2}


@pytest.fixture(params=CREDENTIALS)
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    """A desk with one credential, and with secrets in its project."""
    (tmp_path / "tmp").mkdir()
    with alices_desk(tmp_path) as desk, front(desk.url) as fore:
        seat = desk.with_environment(GLAAS_URL=fore.url)
        watched = Watched(seat, fore, with_secrets(desk))
        match request.param:
            case "bearer":
                seat.sign_in(seconds=240)  # so close to its end that it is refreshed
                document = json.loads(desk.auth_json.read_text()) | {"id_token": ID_TOKEN}
                desk.auth_json.write_text(json.dumps(document))
                names = ("access_token", "refresh_token", "id_token")
                watched.markers |= {name: str(document[name]) for name in names}
                watched.places.append(desk.auth_json)
            case "environment":
                token = desk.token()
                watched.desk = seat.with_environment(ROAR_ACCESS_TOKEN=token)
                watched.markers["ROAR_ACCESS_TOKEN"] = token
            case "key":
                key = desk.make_key()
                watched.markers |= key_markers(key)
                watched.places.append(key)
            case "agent":
                key = desk.make_key(passphrase=PASSPHRASE)
                watched.markers |= key_markers(key) | {"passphrase": PASSPHRASE}
                watched.places.append(key)
                with running_agent(tmp_path) as socket:
                    add_to_agent(socket, key, tmp_path)
                    watched.desk = seat.with_environment(SSH_AUTH_SOCK=socket)
                    yield watched
                return
        yield watched


def test_no_credential_is_left_by_any_way_that_a_run_can_end(watched: Watched) -> None:
    publish = ("publish", "--public", "-y", "--json")
    watched.killed_at_finalize(*publish)
    watched.check(*watched.desk.program.state.rglob("session-token"))
    assert watched.roar(*publish, LOUD_DEFECT="1") == 1
    watched.check(*watched.desk.program.state.rglob("session-token"))
    watched.front.rule = lambda seen: Answer(422, b'{"detail": "no"}') if seen.path.endswith("/finalize") else None
    assert watched.roar(*publish) == 1
    watched.check(*watched.desk.program.state.rglob("session-token"))
    watched.front.rule = lambda seen: None
    assert watched.roar(*publish) == 0
    watched.check(*watched.desk.program.state.rglob("session-token"))
    watched.roar("journal", "list", "--json")
    watched.check(*watched.desk.program.state.rglob("session-token"))
    assert len(watched.outputs) == 10
    assert (watched.desk.home.parent / "tmp" / "debug.log").stat().st_size > 0


def as_json(words: str) -> bytes:
    return json.dumps({"detail": words}).encode()


def as_others_write_it(words: str) -> bytes:
    """JSON with every slash escaped, as PHP does, and every other mark by its number."""
    escaped = "".join("\\/" if c == "/" else c if c.isalnum() else f"\\u{ord(c):04x}" for c in words)
    return f'{{"detail": "{escaped}"}}'.encode()


WRITTEN = sample(
    "repeated credentials",
    [(credential, write) for credential in CREDENTIALS for write in (as_json, as_others_write_it)],
    0,
    lambda case: case[0],
    lambda case: case[1],
)


@pytest.mark.parametrize(("watched", "write"), WRITTEN, indirect=["watched"])
def test_a_registry_that_repeats_what_it_is_shown_puts_it_nowhere(
    watched: Watched, write: Callable[[str], bytes]
) -> None:
    """A server or proxy in debug mode says the request's headers in its complaint."""

    def repeat(seen: Seen) -> Answer | None:
        if not seen.path.endswith("/finalize"):
            return None
        words = f"cannot use {seen.headers['authorization']} here"
        return Answer(422, write(words))

    watched.front.rule = repeat
    assert watched.roar("publish", "--public", "-y") == 1
    watched.check(*watched.desk.program.state.rglob("session-token"))
    watched.roar("journal", "show", watched.desk.program.publishes[0])
    watched.check(*watched.desk.program.state.rglob("session-token"))


def test_a_token_endpoint_that_repeats_what_it_is_shown_puts_it_nowhere(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with alices_desk(tmp_path) as desk, front(desk.url) as fore:
        desk.sign_in()
        desk.admin("token", "revoke", json.loads(desk.admin("token", "list", "--json"))[0]["id"])
        document = json.loads(desk.auth_json.read_text()) | {"expires_at": "2001-01-01T00:00:00Z"}
        desk.auth_json.write_text(json.dumps(document))
        markers = {name: document[name] for name in ("access_token", "refresh_token")}
        watched = Watched(desk.with_environment(GLAAS_URL=fore.url), fore, markers, [desk.auth_json])
        for status, code in ((400, 4), (500, 3)):
            watched.front.rule = lambda seen, status=status: (  # type: ignore[misc]
                Answer(status, json.dumps({"detail": seen.body.decode()}).encode())
                if seen.path.endswith("/auth/refresh")
                else None
            )
            assert watched.roar("publish", "--private", "-y") == code
            watched.check()


def test_the_session_token_is_gone_once_the_session_is(tmp_path: Path) -> None:
    with alices_desk(tmp_path) as desk:
        desk.publish("--anonymous")
        assert list(desk.program.state.rglob("session-token")) == []


@pytest.mark.parametrize("way", ["--registry", "GLAAS_URL", "[glaas] url"])
def test_a_credential_in_the_registrys_address_is_refused_and_not_repeated(way: str, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with alices_desk(tmp_path) as desk, front(desk.url) as fore:
        address = f"http://alice:{IN_THE_ADDRESS}@127.0.0.1:{fore.port}"
        watched = Watched(desk.with_environment(GLAAS_URL=fore.url), fore, {"in the address": IN_THE_ADDRESS})
        arguments = ["publish", "--public", "-y"]
        if way == "--registry":
            arguments += ["--registry", address]
        elif way == "GLAAS_URL":
            watched.desk = desk.with_environment(GLAAS_URL=address)
        else:
            watched.desk = desk.with_environment(GLAAS_URL="")
            config = desk.program.cwd / ".roar" / "config.toml"
            config.write_text(config.read_text().replace("https://api.glaas.ai", address, 1))
        assert watched.roar(*arguments) == 2
        assert fore.seen == []
        watched.check()


def test_a_typed_passphrase_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    with alices_desk(tmp_path) as desk, front(desk.url) as fore:
        key = desk.make_key(passphrase=PASSPHRASE)
        markers = key_markers(key) | {"passphrase": PASSPHRASE}
        watched = Watched(desk.with_environment(GLAAS_URL=fore.url), fore, markers, [key])
        with at_terminal(watched.desk.program, "publish", "--private") as terminal:
            terminal.wait_for("assphrase")
            terminal.type(f"{PASSPHRASE}\n")
            assert terminal.ended() == 0
        watched.outputs.append(terminal.shown.encode())
        watched.check()


# ---------------------------------------------------------------- these tests can fail


@pytest.mark.parametrize("before", ["", "x", "xy"])
def test_a_marker_is_found_in_every_form(before: str) -> None:
    import base64

    marker = 'canary "1"/ä'
    text = f"{before}{marker}tail"
    for form in (
        text,
        text.encode().hex(),
        base64.b64encode(text.encode()).decode(),
        base64.urlsafe_b64encode(text.encode()).decode(),
        json.dumps(text),
    ):
        assert shown(form.encode(), {"it": marker}) == {"it"}, form
    assert shown(b"canary", {"it": marker}) == set()
    assert len(forms(marker)) > 6
