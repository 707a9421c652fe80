"""The commands, in a project whose repository configures programs everywhere: none runs, and git gets no secret."""

import os
import shutil
from pathlib import Path

from tests.support.cli.program import Program
from tests.support.lineage.captured import git
from tests.support.put.git_vectors import VECTORS, Place, push, status
from tests.support.put.projects import put_project

OURS = {
    name: f"our-secret-{name}"
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "WANDB_API_KEY", "GITHUB_TOKEN", "ROAR_TEST_SECRET")
}
TOGETHER = (
    "core.fsmonitor",
    "a required clean filter",
    "a reference-transaction hook",
    "a pre-push hook",
    "a post-index-change hook",
    "gpg.program with tag.gpgSign",
    "credential.helper",
    "core.askPass",
    "core.pager",
    "diff.external",
    "remote.receivepack",
    "insteadOf",
    "pushInsteadOf",
    "a hook of the remote's folder",
)


def armed(folder: Path) -> Place:
    root, remote, program = put_project(folder), folder / "remote", folder / "program"
    remote.mkdir()
    (folder / "home").mkdir()
    git("init", "--quiet", "--bare", cwd=remote)
    git("remote", "set-url", "origin", str(remote), cwd=root)
    program.write_text(f"#!/bin/sh\ntouch {folder / 'ran'}\nexit 1\n")
    program.chmod(0o755)
    place = Place(root, remote, program, folder / "ran")
    for name in TOGETHER:
        VECTORS[name].arm(place)
    for path in root.rglob("*.py"):
        os.utime(path, (0, 0))
    place.note.unlink(missing_ok=True)
    return place


def recording_git(folder: Path) -> Path:
    """A program named git that writes down its environment, and is git then; gives its folder."""
    real, wrapper = shutil.which("git"), folder / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n{{ echo "CALL $*"; env; }} >> {folder / "calls"}\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper.parent


def test_no_command_runs_a_repositorys_configuration_and_the_tag_is_pushed(registry: str, tmp_path: Path) -> None:
    place = armed(tmp_path)
    path = f"{recording_git(tmp_path)}:{os.environ['PATH']}"
    program = Program.within(place.root, tmp_path, PATH=path, **OURS)
    common = ("--public", "--registry", registry)
    order = ("put", "model.bin", str(tmp_path / "store"), "-m", "v1", "--tag", *common)
    runs = [
        program("publish", "--dry-run", *common),
        program(*order, "--dry-run"),
        program(*order, "-y"),
        program("publish", "-y", *common),
    ]
    assert [run.code for run in runs] == [0, 0, 0, 0], runs
    assert not place.note.exists()
    assert str(place.remote) in " ".join(runs[1].out.split()), "the dry run shows where the tag goes"
    assert list((place.remote / "refs" / "tags" / "roar").iterdir())
    calls = (tmp_path / "calls").read_text()
    assert calls.count("CALL ") >= 10
    assert not [value for value in OURS.values() if value in calls]
    for control in (status, push):
        place.note.unlink(missing_ok=True)
        control(place)
        assert place.note.exists()


def test_a_dry_run_shows_the_real_path_of_every_file(registry: str, tmp_path: Path) -> None:
    root, outside = put_project(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (outside / "weights.bin").write_text("x")
    git("config", "core.excludesFile", "/dev/null", cwd=root)
    (root / ".git" / "info" / "exclude").write_text("out\n")
    (root / "out").mkdir()
    (root / "out" / "latest.bin").symlink_to(outside / "weights.bin")
    program = Program.within(root, tmp_path)
    order = ("put", "out", str(tmp_path / "store"), "-m", "v1", "--public", "--dry-run", "--registry", registry)
    refused = program(*order)
    refused.blames(2, "published only if you ask", f"out/latest.bin → {outside / 'weights.bin'}".lower())
    shown = program(*order, "--follow-links", "--json")
    assert [file["path"] for file in shown.last["files"]] == [str(outside / "weights.bin")]
    assert program(*order, "--follow-links").code == 0
