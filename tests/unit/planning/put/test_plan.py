"""The plan of a put beyond what roar-cli sends: objects, fingerprint, secrets, earlier puts."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from msgspec.structs import replace

from roar_publisher.auth.choice import Flag
from roar_publisher.lineage.plan import build_plan
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.planning.put.plan import plan_put
from roar_publisher.planning.put.prepare import digest_sources
from roar_publisher.planning.put.record_writer import record_put
from roar_publisher.planning.put.sources import resolve_sources
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.units import NODES, Kind, Unit
from tests.support.put.projects import NOW, commit, plan, plan_of, put_project, request, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return put_project(tmp_path)


def test_every_key_is_one_object_and_every_path_one_input(root: Path) -> None:
    write(root, {"a/x.txt": "same", "b/x.txt": "same", "b/y.txt": "same"})
    planned = plan(root, "a", "b")
    assert [(one.key, one.url) for one in planned.put.objects] == [
        ("x.txt", "s3://bucket/some/where/x.txt"),
        ("y.txt", "s3://bucket/some/where/y.txt"),
    ]
    inputs = [item["path"] for item in planned.items(Kind.INPUTS)]
    assert sorted(inputs) == [str(root / name) for name in ("a/x.txt", "b/x.txt", "b/y.txt")]
    assert len(planned.items(Kind.ARTIFACTS)) == 1
    assert planned.summary.inputs == 1, "the server counts contents"


def test_the_lineage_is_that_of_the_files_and_the_put_job(root: Path) -> None:
    assert [job["step_number"] for job in plan(root, "out1.txt").items(Kind.JOBS)] == [1, 3]
    assert [job["step_number"] for job in plan(root, "model.bin").items(Kind.JOBS)] == [1, 2, 3]


def test_a_file_that_no_job_made_is_published_by_the_put_job_alone(root: Path) -> None:
    write(root, {"notes.txt": "by hand"})
    planned = plan(root, "notes.txt")
    assert [job["job_type"] for job in planned.items(Kind.JOBS)] == ["put"]
    assert planned.summary.jobs == planned.summary.artifacts == 1


def test_links_are_sent_after_the_units_that_they_refer_to(root: Path) -> None:
    units = plan(root).units
    last_node = max(unit.seq for unit in units if unit.kind in NODES)
    assert {unit.after for unit in units if unit.kind in (Kind.INPUTS, Kind.OUTPUTS)} <= set(range(1, last_node + 1))
    assert [unit.seq for unit in units] == list(range(1, len(units) + 1))


def test_a_repeated_plan_has_another_job_and_the_same_fingerprint(root: Path) -> None:
    first, second = plan(root, "model.bin"), plan(root, "model.bin")
    assert first.record.job_uid != second.record.job_uid
    assert first.summary.digest != second.summary.digest
    assert first.draft.fingerprint == second.draft.fingerprint


def test_different_puts_have_different_fingerprints(root: Path) -> None:
    write(root, {"other/model.bin": "something else"})
    before = plan(root, "model.bin").draft.fingerprint
    prints = {
        before,
        plan(root, "model.bin", message="another").draft.fingerprint,
        plan(root, "model.bin", destination="s3://elsewhere").draft.fingerprint,
        plan(root, "model.bin", flag=Flag.PRIVATE).draft.fingerprint,
        plan(root, "model.bin", name="best").draft.fingerprint,
        plan(root, "model.bin", tag=False).draft.fingerprint,
        plan(root, "other").draft.fingerprint,
    }
    (root / "model.bin").write_text("retrained")
    commit(root)
    prints.add(plan(root, "model.bin").draft.fingerprint)
    commit(root)
    prints.add(plan(root, "model.bin").draft.fingerprint)
    assert len(prints) == 9


def test_a_tag_changes_the_fingerprint(root: Path) -> None:
    configure(root, "config.toml", "true")
    before = plan(root, "model.bin").draft.fingerprint
    (root / ".roar" / "config.toml").write_text("[registration.tagging]\nenabled = false\n")
    assert plan(root, "model.bin").draft.fingerprint != before


CONFIGURED = {
    "config.toml": (".roar/config.toml", "[registration.tagging]\nenabled = {}\n"),
    "pyproject.toml": ("pyproject.toml", "[tool.roar.registration.tagging]\nenabled = {}\n"),
}


def configure(root: Path, where: str, value: str) -> None:
    name, text = CONFIGURED[where]
    (root / ".roar" / "config.toml").unlink(missing_ok=True)  # it takes precedence over pyproject.toml
    (root / name).write_text(text.format(value))
    commit(root)


@pytest.mark.parametrize("where", CONFIGURED)
def test_no_tag_is_made_if_the_configuration_disables_tags(root: Path, where: str) -> None:
    configure(root, where, "false")
    planned = plan(root, "model.bin")
    assert planned.put.tags == ()
    assert json.loads(planned.record.sent)["put"]["git_tag"] is None
    assert "--no-tag" not in planned.record.command, "it was not typed"


@pytest.mark.parametrize("where", CONFIGURED)
def test_no_tag_overrides_the_configuration(root: Path, where: str) -> None:
    configure(root, where, "true")
    ((name, commit, *_),) = plan(root, "model.bin").put.tags
    assert name == f"roar/{commit}"
    unwanted = plan(root, "model.bin", tag=False)
    assert unwanted.put.tags == ()
    assert json.loads(unwanted.record.sent)["put"]["git_tag"] is None


def test_a_tag_is_made_by_default(root: Path) -> None:
    (root / ".roar" / "config.toml").unlink(missing_ok=True)
    assert len(plan(root, "model.bin").put.tags) == 1


def test_an_invalid_tag_setting_is_an_error(root: Path) -> None:
    configure(root, "config.toml", '"no"')
    with pytest.raises(LocalProblem, match=r"config\.toml: registration\.tagging\.enabled must be true or false"):
        plan(root, "model.bin")


def test_planning_changes_neither_roar_db_nor_the_disk(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dump() -> list[str]:
        with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection:
            return list(connection.iterdump())

    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = dump()
    plan(root)
    assert dump() == before
    assert not list(scratch.iterdir())


def test_a_secret_in_the_message_is_redacted_and_counted(root: Path) -> None:
    secret = "ghp_" + "a1" * 18
    planned = plan(root, "model.bin", message=f"by {secret}")
    assert secret not in b"".join(unit.body for unit in planned.units).decode()
    assert planned.summary.redactions
    assert secret in planned.record.command, "roar.db keeps what was typed"


def test_a_put_that_is_redacted_otherwise_is_another_put(root: Path) -> None:
    """Whoever repeats an unredacted put, or adds a rule, must not resume the plan of the one before."""

    def fingerprint(message: str, **rules: Any) -> str:
        wanted = request(root, "model.bin", message=message)
        config = replace(wanted.project.config, omit=OmitConfig(**rules))
        return plan_of(replace(wanted, project=replace(wanted.project, config=config))).draft.fingerprint

    secret = "by Orion, with ghp_" + "a1" * 18
    rules: list[dict[str, Any]] = [
        {},
        {"enabled": False},
        {"values": ("Orion",)},
        {"values": ("by O",)},
        {"allowlist": ("ghp_.*",)},
    ]
    found = [fingerprint(secret, **rule) for rule in rules]
    assert found == [fingerprint(secret, **rule) for rule in rules]
    assert len({*found}) == len(rules)
    assert len({fingerprint("by Rigel", **rule) for rule in rules}) == 1, "nothing is redacted"


def test_a_partition_column_is_not_redacted(root: Path) -> None:
    write(root, {f"t/day=2024-01-0{day}/p.parquet": str(day) for day in (1, 2)})
    planned = plan(root, "t")
    assert not planned.summary.redactions
    (dataset,) = planned.items(Kind.COMPOSITE)
    assert json.loads(dataset["metadata"])["dataset"]["profile"]["partition_summary"][0]["key"] == "day"


def test_a_local_destination_is_not_sent_as_a_source(root: Path, tmp_path: Path) -> None:
    planned = plan(root, "model.bin", destination=f"file://{tmp_path}/store")
    (put,) = [job for job in planned.items(Kind.JOBS) if job["job_type"] == "put"]
    assert json.loads(put["metadata"])["put"]["destination_type"] == "file"
    assert {artifact["source_type"] for artifact in planned.items(Kind.ARTIFACTS)} == {None}
    assert not [label for label in planned.items(Kind.LABELS) if label["entity_type"] == "artifact"]


def test_a_second_put_is_recorded_beside_the_first(root: Path) -> None:
    first = plan(root, "model.bin")
    record_put(root / ".roar" / "roar.db", first.record)
    second = plan(root, "model.bin", destination="s3://mirror")
    assert [job["step_number"] for job in second.items(Kind.JOBS)] == [1, 2, 4]
    (label,) = [label for label in second.items(Kind.LABELS) if label["entity_type"] == "artifact"]
    assert label["metadata"] == {"roar": {"distribution": {"url": "s3://mirror/model.bin"}}}


def test_a_dataset_that_the_lineage_read_becomes_an_input_of_the_put_job(root: Path) -> None:
    write(root, {"shards/1.parquet": "1", "shards/2.parquet": "2"})
    first = plan(root, "shards")
    record_put(root / ".roar" / "roar.db", first.record)
    (dataset,) = first.record.datasets
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        connection.execute(
            "INSERT INTO job_inputs(job_id, artifact_id, path) SELECT id, ?, ? FROM jobs WHERE step_number = 2",
            (dataset.artifact, dataset.root),
        )
    planned = plan(root, "model.bin")
    inputs = next(items for uid, items in planned.by_job(Kind.INPUTS) if uid == planned.record.job_uid)
    assert {"hash": dataset.digest, "path": dataset.root} in inputs
    assert json.loads(planned.record.sent)["put"]["lineage_composites"] == []
    (kept,) = json.loads(planned.record.kept)["put"]["lineage_composites"]
    assert (kept["hash"], kept["root_path"], kept["component_count_stored"]) == (dataset.digest, dataset.root, 2)


def test_what_was_put_can_be_published_again_from_roar_db(root: Path) -> None:
    write(root, {"stores/a.zarr/.zgroup": "a", "stores/b.zarr/.zgroup": "b"})
    planned = plan(root, "stores", "model.bin")
    record_put(root / ".roar" / "roar.db", planned.record)
    project = request(root).project
    units: list[str] = []
    summary = build_plan(
        project, None, cwd=root, identities=(), sink=lambda chunk: units.extend(unit.kind.value for unit in chunk)
    )
    assert summary.jobs == 3
    assert units.count("composite") == len(planned.items(Kind.COMPOSITE)) == 3
    indexes = {item["hash"]: item["membership_index"] for item in planned.items(Kind.COMPOSITE)}
    for dataset in planned.record.datasets:
        assert dataset.index.items() <= indexes[dataset.digest].items(), "the index is over files, not over datasets"


def test_a_rerun_counts_once(root: Path) -> None:
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        for step in (10, 11):
            job = connection.execute(
                "INSERT INTO jobs(job_uid, timestamp, command, session_id, step_number, job_type, exit_code)"
                " VALUES (?, ?, 'make', 1, ?, 'build', 0)",
                (f"build{step}", NOW + step, step),
            ).lastrowid
            connection.execute(
                "INSERT INTO job_outputs(job_id, artifact_id, path) SELECT ?, artifact_id, path FROM job_inputs"
                " WHERE job_id = 1",
                (job,),
            )
    assert [job["step_number"] for job in plan(root, "model.bin").items(Kind.JOBS)] == [1, 2, 11, 12]


def test_the_source_of_an_uploaded_download_is_its_new_address(root: Path) -> None:
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        connection.execute("UPDATE artifacts SET source_type = 'https', source_url = 'https://example.org/x'")
    artifacts = plan(root, "model.bin").items(Kind.ARTIFACTS)
    uploaded = [artifact for artifact in artifacts if artifact["source_type"] == "s3"]
    assert [("metadata" in artifact, artifact["size"]) for artifact in uploaded] == [(False, 90)]
    assert all("metadata" in artifact for artifact in artifacts if artifact not in uploaded)


def test_a_file_typed_beside_its_folder_stays_in_the_dataset(root: Path) -> None:
    write(root, {f"web/{number}.tar": str(number) for number in range(3)})
    planned = plan(root, "web", "web/0.tar", "web/1.tar")
    assert [dataset.total for dataset in planned.record.datasets] == [3]
    assert [one.key for one in planned.put.objects] == ["0.tar", "1.tar", "2.tar"]


def test_uncommitted_changes_and_a_missing_commit_are_refused(root: Path, tmp_path: Path) -> None:
    (root / "train.py").write_text("changed")
    with pytest.raises(UsageProblem, match="uncommitted changes"):
        plan(root, "model.bin")
    commit(root)
    (root / ".git").rename(tmp_path / "git")
    with pytest.raises(LocalProblem, match="not in a git repository with a commit"):
        plan(root, "model.bin")


@pytest.mark.parametrize("field", ["message", "destination", "name"])
def test_a_text_that_is_not_utf8_is_refused(root: Path, field: str) -> None:
    with pytest.raises(UsageProblem, match="UTF-8"):
        plan(root, "model.bin", **{field: "s3://caf\udce9"})


def test_the_database_copy_has_no_file_name(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not redacted, so no other process may open it, and SIGKILL must leave nothing of it."""
    monkeypatch.setattr("tempfile.tempdir", str(root / "not there"))
    named: list[str] = []

    def look(units: Iterable[Unit]) -> None:
        for _unit in units:
            links = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
            named.extend(link for link in links if "etilqs" in link and not link.endswith("(deleted)"))

    wanted = request(root, "model.bin")
    digested = anyio.run(digest_sources, resolve_sources(wanted))
    plan_put(wanted, digested, "s3://bucket", "s3://bucket/{}".format, identities=(), sink=look, now=NOW)
    assert named == []


@pytest.mark.parametrize(
    ("sources", "options"),
    [
        (["data"], {}),
        (["data"], {"dataset": True}),
        (["{}.bin", "password=hunter22xyz.txt"], {}),
        (["data"], {"name": "name {}", "message": "by {}", "destination": "s3://bucket/{}/x"}),
        (["data"], {"destination": "s3://me:hunter22xyz@bucket/x"}),
    ],
)
def test_no_unit_of_a_put_holds_the_secrets_in_its_paths(
    root: Path, sources: list[str], options: dict[str, object]
) -> None:
    """Secrets in names of files, folders and dataset members, the destination, the name and the message."""
    secret = "hf" + "_" + "aB3dE5fG7h" * 4
    files = {f"data/{secret}/train/dt={number}/part-{number}.parquet": str(number) for number in range(3)}
    write(root, files | {f"{secret}.bin": "z", "password=hunter22xyz.txt": "q"})
    given = {name: value.format(secret) if isinstance(value, str) else value for name, value in options.items()}
    planned = plan(root, *(source.format(secret) for source in sources), **given)
    bodies = [str(unit.body) for unit in planned.units]
    assert [body for body in bodies if secret in body or "hunter22xyz" in body] == []
    assert planned.summary.redactions
