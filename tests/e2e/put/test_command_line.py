"""The options of a put, repeated puts, and debts."""

import json
import shutil
import time
from pathlib import Path
from threading import Event, Lock

import pytest

from roar_publisher.text import size
from tests.e2e.put.conftest import MakePlace
from tests.support.cli.program import PATIENCE
from tests.support.put.destinations import KINDS
from tests.support.put.forked_program import ProgramResult
from tests.support.put.place import MESSAGE, Place
from tests.support.put.project import LARGE, git, output_files, roar_cli
from tests.support.storage.proxy import Fault, Seen

FASTEST_SHARE = 0.8
"""A rate is a mean: the data that fits into buffers at the start is sent faster."""
SMALL_TALK_BYTES = 20_000
"""Bytes of requests for a few files besides their content."""
COMPANY_SECONDS = 0.05
"""Seconds that a request waits for one too many."""


def events(answer: ProgramResult) -> list[dict[str, object]]:
    """Return the events of `--json`."""
    return [json.loads(line) for line in answer.out.splitlines()]


def head(place: Place) -> str:
    return git(place.project, "rev-parse", "HEAD").strip()


def tags(place: Place, *where: str) -> str:
    return git(place.project, "ls-remote", "--tags", *where) if where else git(place.project, "tag", "--list")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dry_run_shows_everything_and_changes_nothing(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    (place.project / "outputs" / "gone").symlink_to("nowhere")
    before = place.rows("SELECT count(*) FROM jobs")
    answer = place.put("--dry-run")
    assert answer.code == 0, answer.err
    for output in (place.destination.url, "large-0.bin", "größe 测试.txt", "3 jobs", "outputs/gone"):
        assert output in answer.out
    (dry_run,) = events(place.put("--dry-run", "--json"))
    assert isinstance(dry_run["files"], list)
    assert dry_run["notes"] == ["not stored, because neither a file nor a link to one: outputs/gone"]
    assert {file["path"] for file in dry_run["files"]} == {str(place.project / "outputs" / key) for key in place.files}
    assert place.destination.keys() == []
    assert place.destination.parts_sent(place.seen, {}) == []
    assert place.ask("log") == []
    assert place.publishes() == []
    assert place.rows("SELECT count(*) FROM jobs") == before
    assert tags(place) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_put_sends_no_file_again(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    first = place.put()
    assert first.code == 0, first.err
    before = len(place.seen)
    again = place.put("--json", "--again")
    assert again.code == 0, again.err
    assert place.destination.parts_sent(place.seen[before:], {}) == []
    assert again.passed.get("before folder _write", 0) == 0
    assert place.destination.objects() == place.files
    assert place.rows("SELECT count(*) FROM jobs WHERE job_type = 'put'") == [(2,)], "and yet it is another put"


def sent_to_registry(place: Place) -> list[str]:
    """Return the paths of all requests but those for the registry's health, which are sent while a put is planned."""
    return [path for path, _ in place.ask("log") if not path.endswith("/health")]


@pytest.mark.parametrize("how", ["the same words", "other words", "detached"])
def test_an_identical_put_is_reported_and_not_repeated(how: str, make_place: MakePlace) -> None:
    place = make_place("file")
    first = place.put()
    assert first.code == 0, first.err
    sent = sent_to_registry(place)
    if how == "other words":
        again = place.roar("put", "./outputs/", place.destination.url + "/", "-m", MESSAGE, "--public", "-y")
    else:
        again = place.put(*(("--detach",) if how == "detached" else ()))
    assert again.code == 0, again.err
    assert again.out.splitlines() == first.out.splitlines()
    assert "this put is already published" in again.err
    assert "--again" in again.err
    assert sent_to_registry(place) == sent, "nothing was sent"
    place.check_published_once()
    assert len(place.publishes()) == 1


@pytest.mark.parametrize("different", ["content", "message", "name", "commit"])
def test_a_put_that_differs_from_a_finished_one_is_a_new_put(different: str, make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put().code == 0
    if different == "content":
        (place.project / "outputs" / "empty").write_text("no more")
    if different == "commit":
        git(place.project, "commit", "--quiet", "--allow-empty", "-m", "more")
    more = {"message": ("-m", "release two"), "name": ("-n", "best")}.get(different, ())
    assert place.put(*more).code == 0
    assert place.rows("SELECT count(*) FROM jobs WHERE job_type = 'put'") == [(2,)]


def test_debts_are_listed_and_paid_by_any_of_the_commands(make_place: MakePlace) -> None:
    place = make_place("file")
    remote = place.folder / "remote.git"
    git(place.project, "remote", "add", "origin", str(remote))
    assert place.put("--tag").code == 0
    publish_id = place.only_publish().paths.id
    (listed,) = [json.loads(line) for line in place.roar("journal", "list", "--json").out.splitlines()]
    assert (listed["status"], listed["reason"], listed["turn"]) == ("done", "owed", "daemon")
    assert (len(listed["owed"]), listed["next"]) == (1, f"roar publish --resume {publish_id}")
    assert f"remaining: git tag; roar publish --resume {publish_id}" in place.roar("journal", "list").out
    assert "the git tag is still to be made" in place.roar("journal", "show", publish_id).out
    assert "Nothing to remove" in place.roar("journal", "prune", "--older-than", "0s").err

    for unpaid in (place.resume(), place.roar("journal", "retry", publish_id)):
        assert unpaid.code == 3
        assert "the git tag is still to be made" in unpaid.err
        assert f"git push origin refs/tags/roar/{head(place)}" in unpaid.err
    assert place.put("--tag").code == 0, "the put itself is there"

    git(place.project, "init", "--quiet", "--bare", str(remote))
    paid = place.resume()
    assert paid.code == 0, paid.err
    assert "Published earlier" in paid.err
    assert head(place) in tags(place, "origin")
    (listed,) = [json.loads(line) for line in place.roar("journal", "list", "--json").out.splitlines()]
    assert (listed["reason"], listed["owed"], listed["next"]) == ("published", [], "")
    assert place.roar("journal", "retry", publish_id).code == 2
    place.check_published_once()


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_identical_content_is_sent_once(kind: str, make_place: MakePlace) -> None:
    """The store copies the first object to the second; readers find both."""
    place = make_place(kind)
    outputs = place.project / "outputs"
    shutil.copyfile(outputs / "large-0.bin", outputs / "again.bin")
    # No line break in this name: rclone may list such an object twice, as it is and with U+240A in its place.
    shutil.copyfile(outputs / "größe 测试.txt", outputs / "deeper" / "größe 测试 again.txt")
    place.files = output_files(place.project)
    answer = place.put()
    assert answer.code == 0, answer.err
    place.check_published_once()
    contents = set(place.files.values())
    assert len(contents) == len(place.files) - 3, "with the one that is in the project anyway"
    bodies = sum(seen.body_bytes for seen in place.seen if seen.method in ("PUT", "POST"))
    assert bodies < sum(map(len, contents)) + SMALL_TALK_BYTES


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_command_resumes_an_interrupted_put(kind: str, make_place: MakePlace) -> None:
    place = make_place(kind)
    assert place.put(kill_at=("after commit of acknowledge_part", 2)).killed
    journal = place.only_publish()
    answer = place.put()
    assert answer.code == 0, answer.err
    assert f"Resuming {journal.paths.id}" in answer.out + answer.err
    assert place.check_published_once() == journal.provisional


def test_another_command_is_a_new_put(make_place: MakePlace) -> None:
    place = make_place("s3")
    assert place.put(kill_at=("after commit of acknowledge_part", 2)).killed
    answer = place.put("-n", "other")
    assert answer.code == 0, answer.err
    assert len(place.publishes()) == 2
    assert [journal.interrupted for journal in place.publishes()].count(True) == 1


def test_a_publish_with_a_destination_is_a_put(make_place: MakePlace) -> None:
    place = make_place("s3")
    answer = place.roar("publish", "outputs", "--to", place.destination.url, "-m", MESSAGE, "--public", "-y")
    assert answer.code == 0, answer.err
    place.check_published_once()


def test_without_sources_the_session_outputs_are_put(make_place: MakePlace) -> None:
    place = make_place("s3")
    written = [Path(path) for (path,) in place.rows("SELECT path FROM job_outputs")]
    assert place.roar("put", place.destination.url, "-m", MESSAGE, "--public", "-y").code == 0
    assert len(written) > len(place.files) // 2
    assert place.destination.objects() == {path.name: path.read_bytes() for path in written}


def test_one_step_and_a_digest_are_sources(make_place: MakePlace) -> None:
    place = make_place("s3")
    ((digest,),) = place.rows(
        "SELECT digest FROM artifact_hashes h JOIN artifacts a ON a.id = h.artifact_id"
        " WHERE a.first_seen_path LIKE '%/large-0.bin'"
    )
    typed = ("put", "@1", digest, place.destination.url, "-m", MESSAGE, "--public", "-y")
    answer = place.roar(*typed)
    assert answer.code == 0, answer.err
    assert place.destination.keys() == ["large-0.bin", "raw.bin"]


def test_the_commit_is_tagged_unless_no_tag_is_typed(make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put("--no-tag").code == 0
    assert tags(place) == ""
    assert place.put().code == 0
    assert tags(place).split() == [f"roar/{head(place)}"]
    assert git(place.project, "rev-parse", tags(place).strip()).strip() == head(place)


def test_a_project_that_disables_tags_gets_none(make_place: MakePlace) -> None:
    place = make_place("file")
    roar_cli(place.project, "config", "set", "registration.tagging.enabled", "false")
    assert place.put().code == 0
    assert tags(place) == ""
    place.check_published_once()


@pytest.mark.parametrize("who", ["the command line", "the user's configuration", "nobody"])
def test_the_tag_is_pushed_only_if_the_user_asks(who: str, make_place: MakePlace) -> None:
    place = make_place("file")
    remote = place.folder / "remote.git"
    git(place.project, "init", "--quiet", "--bare", str(remote))
    git(place.project, "remote", "add", "origin", str(remote))
    if who == "the user's configuration":
        folder = place.folder / "home" / ".config" / "roar"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text("[publisher]\npush_tags = true\n")
    answer = place.put(*(("--tag",) if who == "the command line" else ()))
    assert answer.code == 0, answer.err
    assert "still to be" not in answer.out + answer.err
    pushed = f"{head(place)}\trefs/tags/roar/{head(place)}" in tags(place, "origin")
    assert pushed is (who != "nobody")


def test_an_unreachable_remote_becomes_a_debt_and_delays_nothing(make_place: MakePlace) -> None:
    place = make_place("file")
    remote = place.folder / "remote.git"
    git(place.project, "remote", "add", "origin", str(remote))
    assert f"pushed to {remote}" in place.put("--tag", "--dry-run").out
    answer = place.put("--tag")
    assert answer.code == 0, answer.err
    place.check_published_once()
    output = answer.out + answer.err
    assert "the git tag is still to be made" in output
    command = f"git push origin refs/tags/roar/{head(place)}"
    assert command in output
    git(place.project, "init", "--quiet", "--bare", str(remote))
    git(place.project, *command.split()[1:])
    assert head(place) in tags(place, "origin")


def test_a_name_is_the_label_of_the_put_job(make_place: MakePlace) -> None:
    place = make_place("file")
    assert place.put("-n", "release candidate").code == 0
    labels = place.rows(
        "SELECT l.metadata FROM labels l JOIN jobs j ON j.id = l.job_id WHERE j.job_type = 'put' AND l.version > 1"
        " UNION SELECT l.metadata FROM labels l JOIN jobs j ON j.id = l.job_id WHERE j.job_type = 'put'"
    )
    assert any(json.loads(text).get("name") == "release candidate" for (text,) in labels)


def test_as_dataset_makes_a_folder_a_dataset(make_place: MakePlace) -> None:
    for given, composites in (((), 0), (("--dataset",), 1)):
        place = make_place("file")
        assert place.put(*given).code == 0
        assert place.rows("SELECT count(*) FROM artifacts WHERE kind = 'composite'") == [(composites,)]
        place.check_published_once()


@pytest.mark.parametrize(
    ("given", "least", "most"), [((), 2, 64), (("--jobs", "3"), 3, 3), (("--jobs", "1"), 1, 1)], ids=["all", "3", "1"]
)
def test_jobs_limits_the_concurrent_requests(
    given: tuple[str, ...], least: int, most: int, make_place: MakePlace
) -> None:
    place = make_place("s3")
    company = Company(least)
    place.destination.weather(company.wait)
    assert place.put(*given).code == 0
    place.check_published_once()
    assert least <= company.most <= most


class Company:
    """Holds bodies until so many wait at the same time, then each request for a moment; counts how many ever waited."""

    def __init__(self, least: int) -> None:
        self.most = 0
        self._least = least
        self._waiting = self._bodies = 0
        self._lock = Lock()
        self._complete, self._never = Event(), Event()

    def wait(self, seen: Seen) -> Fault | None:
        is_body = seen.body_bytes > 0
        with self._lock:
            self._waiting += 1
            self._bodies += is_body
            self.most = max(self.most, self._waiting)
            if self._bodies >= self._least:
                self._complete.set()
        if is_body:
            self._complete.wait(PATIENCE)
        self._never.wait(COMPANY_SECONDS)
        with self._lock:
            self._waiting -= 1
            self._bodies -= is_body
        return None


def test_a_limited_rate_is_kept(make_place: MakePlace) -> None:
    place = make_place("s3")
    size = sum(map(len, place.files.values()))
    begun = time.monotonic()
    assert place.put("--limit-rate", str(size)).code == 0
    assert time.monotonic() - begun > FASTEST_SHARE
    place.check_published_once()


def test_json_reports_the_put(make_place: MakePlace) -> None:
    place = make_place("s3")
    answer = place.put("--json")
    assert answer.code == 0
    output = events(answer)
    assert output[-1]["event"] == "published"
    assert output[-1]["hash"] == place.check_published_once()
    assert answer.err == ""


def test_verbose_prints_a_line_for_every_file(make_place: MakePlace) -> None:
    place = make_place("s3")
    first, again = place.put("-v"), place.put("-v", "--again")
    for answer, ending in ((first, "\n"), (again, ", stored before\n")):
        assert answer.code == 0, answer.err
        for key in (f"large-0.bin: {size(LARGE[0])}", "copy.bin: 1 kB", "deeper/small-0.bin: 1 kB", "empty: 0 B"):
            assert f"  {key}{ending}" in answer.err, answer.err


def test_quiet_prints_the_hash_and_the_url(make_place: MakePlace) -> None:
    place = make_place("file")
    answer = place.put("-q")
    lineage_hash = place.check_published_once()
    assert answer.out.splitlines() == [lineage_hash, f"{place.registry}/dag/{lineage_hash}"]
    assert answer.err == ""
