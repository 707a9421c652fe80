"""Whatever stops a publish is reported by one documented code: `roar journal show ID --why --json`, as processes.

One real daemon works on a publish for each condition at once. Each is reported with its code, its exit code, and
whether it needs user action.
"""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from roar_publisher.daemon.schedule import LONGEST_LATENESS_SECONDS
from roar_publisher.state.reasons import Reason
from tests.support.cli.program import Program
from tests.support.cli.servers import answering
from tests.support.cli.servers import http as reply
from tests.support.daemon.daemons import program_with_daemons
from tests.support.daemon.reasons import PATIENCE_SECONDS, SIGN_IN, Why, check_reason, paths_of, queue, why
from tests.support.daemon.surroundings import Registry, registry_at, wait_until
from tests.support.lineage.captured import captured_project
from tests.support.ports import reserved_port
from tests.support.put.projects import put_project

RETRY_AFTER_SECONDS = 1800


@dataclass
class Environment:
    """A daemon with everything around it, and the publishes that were left to it, by condition.

    since: when the daemon cannot have been asked to wait yet, in Unix seconds.
    """

    program: Program
    publishes: dict[str, str]
    since: float

    def why(self, condition: str, fits: Callable[[Why], bool]) -> Why:
        """Return the first answer about a publish that fits. A later one may differ, because the daemon tries again."""
        answers: list[Why] = []

        def has_answered() -> bool:
            answers.append(why(self.program, self.publishes[condition]))
            return fits(answers[-1])

        wait_until(has_answered, PATIENCE_SECONDS)
        return answers[-1]


def through(registry: str, piece: str, answer: bytes) -> Callable[[bytes], bytes]:
    """A proxy that gives one answer to every request whose line holds `piece`."""

    def carry(request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        if not first or piece in first:
            return answer
        method, path, _ = first.split(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        host, port = registry.removeprefix("http://").split(":")
        with closing(http.client.HTTPConnection(host, int(port), timeout=30)) as connection:
            connection.request(method, path, body, {n: v for n, v in headers.items() if n.lower() != "connection"})
            answered = connection.getresponse()
            return reply(f"{answered.status} {answered.reason}", answered.read())

    return carry


def refusal(detail: str) -> bytes:
    return json.dumps({"detail": detail}).encode()


OVERLAPPING = {"job_ids": [], "errors": [], "created_count": 1, "already_registered_session_hashes": ["f" * 64]}
ANSWERS: dict[str, tuple[Reason, str, bytes]] = {
    "throttled": (Reason.THROTTLED, "", reply("503 Service Unavailable", b"{}", f"Retry-After: {RETRY_AFTER_SECONDS}")),
    "server failing": (Reason.SERVER_FAILING, "", reply("500 Internal Server Error", b"{}")),
    "not glaas": (Reason.NOT_GLAAS, "", reply("200 OK", b"<html>Sign in to this network</html>")),
    "redirected": (Reason.NOT_GLAAS, "", reply("302 Found", b"", "Location: https://portal.example/")),
    "server finalizing": (Reason.SERVER_FINALIZING, "/finalize", reply("409 Conflict", refusal("still closing"))),
    "session lost": (Reason.SESSION_LOST, "/finalize", reply("410 Gone", refusal("no such session"))),
    "rejected": (Reason.REJECTED, "/jobs/batch", reply("422 Unprocessable Entity", refusal("no such field"))),
    "counts differ": (Reason.COUNTS_DIFFER, "/finalize", reply("400 Bad Request", refusal("expected counts differ"))),
    "overlap": (Reason.OVERLAP, "/jobs/batch", reply("200 OK", json.dumps(OVERLAPPING).encode())),
}
"""What a registry answers to what. An empty piece: to everything."""
STORE_ANSWERS = {
    "access denied": (Reason.ACCESS_DENIED, "AccessDenied"),
    "clock": (Reason.CLOCK, "RequestTimeTooSkewed"),
}
"""What an S3-compatible store answers to everything in the bucket of that name, its spaces left out."""
FILES = {"file changed": Reason.FILE_CHANGED, "unreadable": Reason.UNREADABLE}
OTHERS = {
    "offline": Reason.OFFLINE,
    "auth": Reason.AUTH,
    "needs confirmation": Reason.NEEDS_CONFIRMATION,
    "journal": Reason.DAMAGED_JOURNAL,
    "published": Reason.PUBLISHED,
    "cancelled": Reason.CANCELLED,
    "exported": Reason.EXPORTED,
}
CONDITIONS = (
    {name: reason for name, (reason, _, _) in ANSWERS.items()}
    | {name: reason for name, (reason, _) in STORE_ANSWERS.items()}
    | FILES
    | OTHERS
)


def store_answer(request: bytes) -> bytes:
    bucket = request.split(b" ")[1].split(b"/")[1].split(b"?")[0].decode()
    code = {name.replace(" ", ""): code for name, (_, code) in STORE_ANSWERS.items()}.get(bucket, "NoSuchBucket")
    head = request.startswith(b"HEAD")
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    return reply("403 Forbidden", b"" if head else body, "Content-Type: application/xml")


def detach(program: Program, project: Path, *arguments: str) -> str:
    """Leave a publish or a put to the daemon as a person does; its id."""
    there = Program(project, program.state, program.env)
    left = there(*arguments, "--detach", "-y")
    assert left.code == 0, left.err
    return left.out.strip()


def settings(home: Path, registry: str) -> None:
    """A sign-in that its registry does not know any more, and room for every condition at once."""
    folder = home / ".config" / "roar"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[publisher]\nmax_active = 40\nnotify = false\n")
    (folder / "auth.json").write_text(json.dumps(SIGN_IN | {"issuer": registry}))
    (folder / "auth.json").chmod(0o600)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Every condition that a daemon can meet, brought about at once."""
    folder, since = tmp_path_factory.mktemp("town"), time.time()
    with ExitStack() as stack:
        registry = stack.enter_context(registry_at(folder / "data"))
        settings(folder / "home", registry.url)
        store = stack.enter_context(answering(store_answer))
        nowhere = f"http://127.0.0.1:{reserved_port()}"
        cloud = {"AWS_ENDPOINT_URL": store.url, "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
        cloud |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        program = stack.enter_context(program_with_daemons(folder, folder, **cloud))
        publishes = {}
        for name, (_reason, piece, answer) in ANSWERS.items():
            server = stack.enter_context(answering(through(registry.url, piece, answer) if piece else answer))
            publishes[name] = queue(program, server.url)
        publishes["offline"] = queue(program, nowhere)
        publishes["needs confirmation"] = queue(program, registry.url, agreed=False)
        publishes["published"] = queue(program, registry.url)
        publishes |= of_journals(program, nowhere)
        publishes |= of_files(stack, program, folder)
        (folder / "signed-in").mkdir()
        project = captured_project("linear", folder / "signed-in")
        publishes["auth"] = detach(program, project, "publish", "--public", "--registry", registry.url)
        yield Environment(program, publishes, since)


def of_journals(program: Program, registry: str) -> dict[str, str]:
    """Conditions of the journal itself."""
    publishes = {name: queue(program, registry) for name in ("journal", "cancelled", "exported")}
    damaged = paths_of(program, publishes["journal"]).journal
    content = damaged.read_bytes()
    damaged.write_bytes(content[:1000] + b"\xff" * 3000 + content[4000:])
    for command in (
        ("journal", "cancel", publishes["cancelled"]),
        ("journal", "export", publishes["exported"], str(program.state.parent / "exported.publish")),
    ):
        done = program(*command)
        assert done.code == 0, done.err
    return publishes


def of_files(stack: ExitStack, program: Program, folder: Path) -> dict[str, str]:
    """Conditions of files and of the stores that they go to: both change after the put was left to the daemon."""
    project, late = put_project(folder), Registry(folder / "late")
    changed, gone, kept = (project / f"out{number}.txt" for number in range(3))
    sources = dict.fromkeys(STORE_ANSWERS, kept) | {"file changed": changed, "unreadable": gone}
    publishes = {}
    for name, source in sources.items():
        place = f"s3://{name.replace(' ', '')}" if name in STORE_ANSWERS else str(folder / "stored")
        typed = ("put", str(source), f"{place}/{name.replace(' ', '-')}", "-m", name)
        publishes[name] = detach(program, project, *typed, "--anonymous", "--no-tag", "--registry", late.url)
    stack.callback(late.kill)
    gone.unlink()
    changed.write_text("something else")
    late.start()
    return publishes


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_stops_a_publish_of_the_daemon_is_reported_by_its_code(environment: Environment, condition: str) -> None:
    reason = CONDITIONS[condition]
    answer = environment.why(condition, lambda answer: bool(answer["reason"] == reason))
    check_reason(answer, reason)
    if reason in (Reason.PUBLISHED, Reason.CANCELLED):
        return
    assert answer["detail"] or reason in (Reason.OFFLINE, Reason.EXPORTED), "it does not say what happened"
    assert answer["next"], "it does not say what to do"


def test_the_daemon_waits_as_long_as_it_was_asked_to(environment: Environment) -> None:
    answer = environment.why("throttled", lambda answer: answer["next_attempt"] is not None)
    assert environment.since + RETRY_AFTER_SECONDS <= answer["next_attempt"]
    assert answer["next_attempt"] < time.time() + RETRY_AFTER_SECONDS + LONGEST_LATENESS_SECONDS + 1
    assert answer["attempts"] == 0
