"""An imported publish reads, writes and pushes only what its user has seen and agreed to."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec import to_builtins

from roar_publisher.__main__ import run
from roar_publisher.state.journal import Journal
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.digest import digest_file
from tests.support.bundles.forge import Members, tar, with_json, with_record, with_sql
from tests.support.bundles.good import World
from tests.unit.planning.bundles.conftest import Attack, Import, everything


@pytest.fixture
def imported(world: World) -> Iterator[PublishPaths]:
    """The paths of the bundle's publish after its import; removed in the end."""
    paths = PublishPaths(world.state.publishes / world.publish_id)
    yield paths
    shutil.rmtree(paths.folder, ignore_errors=True)


def stored_in(members: Members, scratch: Path, destination: str, key: str) -> bytes:
    """Return a bundle that stores only its first file, as `key` below another destination."""
    url = f"{destination}/{key}"
    forged = with_sql(
        members,
        scratch,
        [
            "DELETE FROM objects WHERE seq > 1",
            f"UPDATE objects SET key = '{key}', url = '{url}'",
            f"UPDATE plan SET destination = '{destination}'",
        ],
    )
    return tar(
        with_record(
            forged, lambda record: record | {"files": [record["files"][0] | {"url": url}], "datasets": [], "read": []}
        )
    )


def reading(members: Members, scratch: Path, path: Path) -> bytes:
    """Return a bundle whose first file is another file of the user, with its size and digest."""
    content = to_builtins(anyio.run(digest_file, str(path)))
    forged = with_json(members, scratch, "objects", "content", lambda before: content)
    size = path.stat().st_size
    forged = with_sql(forged, scratch, f"UPDATE objects SET size = {size} WHERE seq = 1")
    file = {"size": size, "digest": content["blake3"]}
    return tar(with_record(forged, lambda record: record | {"files": [record["files"][0] | file]}))


# ------------------------------------------------------------------------------------------------ outside the project


def test_a_destination_outside_of_the_project_is_refused(
    members: Members, attacks: Attack, world: World, scratch: Path
) -> None:
    forged = stored_in(members, scratch, world.secret.parent.as_uri(), "authorized_keys")
    attacks(forged, 2, "outside of the project", str(world.secret), "(written)", "nothing was imported", "--allow")


@pytest.mark.parametrize("place", [".git/hooks", ".roar", ".GIT"])
def test_protected_folders_are_never_written_even_if_allowed(
    place: str, members: Members, attacks: Attack, world: World, scratch: Path
) -> None:
    forged = stored_in(members, scratch, (world.project / place).as_uri(), "config")
    attacks(forged, 2, "read their configuration from", arguments=("--allow", str(world.root)))


def test_a_folder_of_the_project_that_leads_out_of_it_is_refused(
    members: Members, world: World, imports: Import, scratch: Path, tmp_path: Path
) -> None:
    link = world.project / "linked"
    link.symlink_to(world.secret.parent)
    try:
        (tmp_path / "forged.tar").write_bytes(stored_in(members, scratch, link.as_uri(), "authorized_keys"))
        imports(tmp_path / "forged.tar").blames(2, "outside of the project", "linked/authorized_keys")
    finally:
        link.unlink()


def test_a_path_that_the_user_repeats_is_allowed(
    members: Members, world: World, imports: Import, imported: PublishPaths, scratch: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "forged.tar").write_bytes(stored_in(members, scratch, elsewhere.as_uri(), "model.bin"))
    imports(tmp_path / "forged.tar", "--allow", str(tmp_path / "other")).blames(2, "outside of the project")
    assert imports(tmp_path / "forged.tar", "--allow", elsewhere.as_uri()).code == 0
    assert imported.journal.exists()
    assert not elsewhere.exists()


def test_a_file_outside_of_the_project_is_neither_read_nor_sent(
    members: Members, attacks: Attack, world: World, scratch: Path
) -> None:
    attacks(reading(members, scratch, world.secret), 2, "outside of the project", str(world.secret), "(read)")


def test_a_file_of_the_project_that_leads_out_of_it_is_not_sent(
    members: Members, world: World, imports: Import, scratch: Path, tmp_path: Path
) -> None:
    link = world.project / "innocent.bin"
    link.symlink_to(world.secret)
    try:
        (tmp_path / "forged.tar").write_bytes(reading(members, scratch, link))
        imports(tmp_path / "forged.tar").blames(2, "outside of the project", "innocent.bin (read)")
    finally:
        link.unlink()


def test_a_roar_db_that_leads_out_of_the_project_is_not_written(world: World, imports: Import) -> None:
    database, aside = world.project / ".roar" / "roar.db", world.root / "aside.db"
    database.rename(aside)
    database.symlink_to(aside)
    try:
        imports(world.bundle).blames(2, "leads out of it", "nothing was imported")
    finally:
        database.unlink()
        aside.rename(database)


def test_the_project_path_of_a_bundle_is_ignored(
    members: Members, world: World, imports: Import, imported: PublishPaths, scratch: Path, tmp_path: Path
) -> None:
    """Otherwise its tag and its record could go into any repository of this user."""
    other = tmp_path / "other"
    (other / ".roar").mkdir(parents=True)
    sql = [f"UPDATE plan SET project = '{other}'", f"UPDATE plan SET roar_db = '{other}/.roar/roar.db'"]
    (tmp_path / "forged.tar").write_bytes(tar(with_sql(members, scratch, sql)))
    answer = imports(tmp_path / "forged.tar")
    assert answer.code == 0, answer.err
    plan = plan_of(imported)
    assert (plan.project, plan.roar_db) == (str(world.project), str(world.project / ".roar" / "roar.db"))


# ------------------------------------------------------------------------------------------------------- what is kept


def plan_of(paths: PublishPaths) -> Any:
    with Journal(paths.journal) as journal:
        return journal.plan()


def test_a_tag_is_pushed_only_if_the_user_asks(world: World, imports: Import, imported: PublishPaths) -> None:
    answer = imports(world.bundle)
    assert answer.code == 0, answer.err
    [[name, commit, *pushed]] = plan_of(imported).tags
    assert (name, pushed) == (f"roar/{commit}", ["", ""])
    assert "without pushing it" in answer.err
    shutil.rmtree(imported.folder)
    answer = imports(world.bundle, "--tag")
    assert plan_of(imported).tags == [[name, commit, "origin", "https://github.com/acme/linear.git"]]
    assert "push it to origin, https://github.com/acme/linear.git" in answer.err


def test_the_effects_of_an_import_are_shown(world: World, imports: Import, imported: PublishPaths) -> None:
    answer = imports(world.bundle)
    for key in ("model.bin", "0.bin", "1.bin", "2.bin"):
        assert f"{world.destination}/{key}" in answer.err
    for words in (
        "to the registry https://registry.example, without a credential; you have not accepted it yet",
        "visible to everyone",
        "anonymously",
        f"write to {world.project}/.roar/roar.db",
    ):
        assert words in answer.err


def test_a_file_that_would_be_replaced_is_reported(world: World, imports: Import, imported: PublishPaths) -> None:
    there = world.project / "stored" / "model.bin"
    there.parent.mkdir()
    there.write_bytes(b"mine")
    try:
        answer = imports(world.bundle)
        assert (
            next(line for line in answer.err.splitlines() if "replacing the file" in line)
            .split()[1]
            .endswith("model.bin")
        )
    finally:
        shutil.rmtree(there.parent)


def test_the_store_is_shown_with_the_credentials_that_it_gets(
    members: Members,
    world: World,
    imports: Import,
    imported: PublishPaths,
    scratch: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    (world.home / ".aws").mkdir()
    (world.home / ".aws" / "config").write_text("[profile work]\nregion = eu-west-1\nendpoint_url = https://s3.work\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    (tmp_path / "forged.tar").write_bytes(stored_in(members, scratch, "s3://bucket/prefix", "model.bin"))
    answer = imports(tmp_path / "forged.tar")
    assert answer.code == 0, answer.err
    assert "https://s3.work, with the credentials of the AWS profile work" in answer.err
    assert "as s3://bucket/prefix/model.bin" in answer.err


@pytest.mark.parametrize("url", ["https://phishing.example/dag/x", "https://[x/y"])
def test_a_page_url_of_another_host_or_of_none_is_dropped(
    url: str, members: Members, imports: Import, imported: PublishPaths, scratch: Path, tmp_path: Path
) -> None:
    sql = f"UPDATE progress SET url = '{url}', hash = '" + "0" * 64 + "'"
    (tmp_path / "forged.tar").write_bytes(tar(with_sql(members, scratch, sql)))
    assert imports(tmp_path / "forged.tar").code == 0
    with Journal(imported.journal) as journal:
        assert journal.progress().url is None


def test_consent_given_on_another_machine_does_not_count(
    members: Members, imports: Import, imported: PublishPaths, scratch: Path, tmp_path: Path
) -> None:
    sql = "UPDATE queue SET agreed = 1, parked = 0, detached_at = 1, next_attempt = 0"
    (tmp_path / "forged.tar").write_bytes(tar(with_sql(members, scratch, sql)))
    assert imports(tmp_path / "forged.tar").code == 0
    with Journal(imported.journal) as journal:
        queued = journal.queue.read()
        assert (queued.agreed, queued.parked, journal.progress().reason) == (False, True, Reason.IMPORTED)


# ------------------------------------------------------------------------------------------------------------ consent


def test_without_a_terminal_or_yes_nothing_is_imported(world: World, imports: Import) -> None:
    before = everything(world)
    answer = imports(world.bundle, yes=False)
    answer.blames(4, "needs your consent", "nothing was imported", "--yes")
    assert "to the registry https://registry.example" in answer.err
    assert everything(world) == before


def test_control_characters_of_a_bundle_never_reach_the_terminal(
    members: Members,
    world: World,
    imports: Import,
    imported: PublishPaths,
    scratch: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = "x\n\u202ey\u009b2J"
    sql = [f"UPDATE plan SET target = '{text}', git_branch = 'b\u009b2J'", f"UPDATE progress SET why = '{text}'"]
    sql.append(f"UPDATE events SET detail = '{text}'")
    (tmp_path / "forged.tar").write_bytes(tar(with_sql(members, scratch, sql)))
    assert imports(tmp_path / "forged.tar").code == 0
    for command in (["list", "--all"], ["show", world.publish_id], ["show", world.publish_id, "--why"]):
        assert run(["journal", *command]) == 0
        out, err = capsys.readouterr()
        steering = [one for one in out + err if not one.isprintable() and one != "\n"]
        assert steering == [], (command, out)
