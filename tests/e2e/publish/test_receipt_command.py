"""`roar receipt` and `roar verify --receipt` as processes: from a publish to a proof on a machine without a network."""

import json
import subprocess
import sys
from pathlib import Path

from tests.support.auth.openssh import make_key, public_line
from tests.support.cli.program import Program
from tests.support.lineage.captured import recorded, run_again
from tests.support.registry.processes import served

HASH = recorded("linear", "session")["finalized_hash"]


def published_with_receipt(program: Program, tmp_path: Path) -> tuple[str, str, str]:
    """Publish, rotate the registry's key and ask for the receipt. Return publish id, registry, first public key."""
    run_again(program.cwd)
    with served(tmp_path / "data") as url:
        registry = url
        published = program("publish", "--public", "-y", "--registry", registry)
        (publish_id,) = program.publishes
        assert (published.code, f"Receipt: roar receipt {publish_id}" in published.err) == (0, True)
        again = program("publish", "--public", "-y", "--json", "--registry", registry).last
        assert again["receipt"] == str(program.state / "receipts" / f"{HASH}.{again['publish_id']}.json")
        shown = program("registry", "key", "show", "--data", str(tmp_path / "data"))
        assert program("registry", "key", "rotate", "--data", str(tmp_path / "data")).code == 0
        asked = program("receipt", HASH, "--registry", registry)
        assert json.loads(asked.out)["payload"] == json.loads(Path(again["receipt"]).read_text())["payload"]
        assert f"Next: roar registry trust {registry} --receipt-keys" in asked.err, "its key is another one now"
        (tmp_path / "elsewhere").mkdir()
        elsewhere = Program.within(program.cwd, tmp_path / "elsewhere")
        assert elsewhere("receipt", HASH, "--registry", registry, "-o", str(tmp_path / "asked.json")).code == 0
        assert (tmp_path / "asked.json").read_text() == asked.out
        assert elsewhere("verify", "--receipt", str(tmp_path / "asked.json")).code == 0, "its first key is pinned"
        elsewhere("receipt", "a" * 64, "--registry", registry).blames(1, "gives no receipt", "no lineage is published")
        elsewhere("receipt", HASH[:9], "--registry", registry).blames(2, "there is no receipt")
        trusted = program("registry", "trust", registry, "--receipt-keys")
        assert trusted.out.count("signs its receipts") == 2, "the old key and the new one"
    return publish_id, registry, shown.out


def test_a_receipt_proves_lineage_and_files(program: Program, tmp_path: Path) -> None:
    publish_id, registry, first_key = published_with_receipt(program, tmp_path)
    done = program("receipt", publish_id, "-o", "receipt.json")
    assert (done.code, done.out) == (0, "")
    assert "roar verify --receipt receipt.json" in done.err
    content = (program.cwd / "receipt.json").read_text()
    for name in (publish_id[:4], HASH, HASH.upper(), HASH[:8]):
        assert program("receipt", name).out == content
    program("receipt", publish_id, "-o", "receipt.json").blames(2, "exists already")
    program("receipt", "nothing").blames(2, "no receipt", "journal list")
    program("receipt", HASH[:7]).blames(2, "no receipt")
    of_another = program.state / "receipts" / f"{HASH[:9]}{'0' * 55}.aaaaaaaa.json"
    of_another.write_text(content)
    program("receipt", HASH[:8]).blames(2, "several lineages begin with", "the whole hash")
    of_another.unlink()
    of_another = program.state / "receipts" / f"{'0' * 64}.{publish_id[:4]}0000.json"
    of_another.write_text(content)
    program("receipt", publish_id[:4]).blames(2, "several publishes begin with", "journal list")
    of_another.unlink()

    done = program("verify", "--receipt", "receipt.json", "out1.txt", "out4.txt")
    first, signer, *files = done.out.splitlines()
    assert done.code == 0, done.out + done.err
    assert first.startswith(
        f"Proven by receipt.json: lineage {HASH} (2 jobs, 6 inputs, 6 outputs), published by anonym"
    )
    assert signer.startswith(f"  signed by {registry} (SHA256:")
    assert files == [f"  {name} is /home/dev/linear/{name}" for name in ("out1.txt", "out4.txt")]

    (program.cwd / "out4.txt").write_text("changed")
    done = program("verify", "--receipt", "receipt.json", "out1.txt", "out4.txt")
    assert (done.code, "Not proven" in done.out, "out4.txt is not among its files" in done.out) == (1, True, True)
    facts = program("verify", "--receipt", "receipt.json", "out4.txt", "--json").last
    assert (facts["proven"], facts["exit_code"], facts["files"][0]["name"]) == (False, 1, None)
    program("verify", "--receipt", "receipt.json", "gone.txt").blames(6, "gone.txt cannot be read")

    (program.cwd / "bad.json").write_text(content.replace('"sig":"', '"sig":"A', 1))
    done = program("verify", "--receipt", "bad.json")
    assert (done.code, "is not a valid receipt" in done.out) == (1, True)
    done = program("verify", "--receipt", "bad.json", "--json")
    assert (done.last["proven"], done.code) == (False, 1)

    (tmp_path / "home" / ".config" / "roar" / "receipt-keys").unlink()
    program("verify", "--receipt", "receipt.json").blames(6, "which you have not named", "--receipt-keys")
    (program.cwd / "registry.pub").write_text(first_key)
    done = program("verify", "--receipt", "receipt.json", "--key", "registry.pub", "--json")
    assert (done.code, [each["named"] for each in done.last["signers"]]) == (0, ["--key registry.pub"])
    other = make_key(tmp_path / "other", "ed25519")
    program("verify", "--receipt", "receipt.json", "--key", f"{other}.pub").blames(6, "which you have not named")
    program("verify", "--receipt", "receipt.json", "--key", "receipt.json").blames(2, "lines that are not public keys")
    assert public_line(other)
    assert json.loads(content)["payloadType"] == "application/vnd.in-toto+json"


def test_a_receipt_stays_when_its_publish_is_pruned(program: Program, registry: str) -> None:
    assert program("publish", "--public", "-y", "-q", "--registry", registry).code == 0
    content = program("receipt", HASH).out
    pruned = program("journal", "prune", "--all")
    assert (pruned.code, list(program.publishes)) == (0, []), pruned.err
    assert program("receipt", HASH).out == content != ""


def test_a_receipt_that_cannot_be_written_leaves_no_half_of_one(program: Program) -> None:
    """The same command, repeated when there is room, would refuse to write over it."""
    receipts = program.state / "receipts"
    receipts.mkdir(mode=0o700, parents=True)
    (receipts / f"{HASH}.00000000.json").write_bytes(bytes(1 << 20))
    limited = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16)); "
    limited += "os.execv(sys.executable, [sys.executable, '-m', 'roar_publisher', *sys.argv[1:]])"
    done = subprocess.run(
        [sys.executable, "-c", limited, "receipt", HASH, "-o", "receipt.json"],
        cwd=program.cwd,
        env=dict(program.env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "receipt cannot be written to receipt.json" in done.stderr) == (1, True), done.stderr
    assert not (program.cwd / "receipt.json").exists()
    assert program("receipt", HASH, "-o", "receipt.json").code == 0


def test_verify_without_a_subject_says_what_to_name(program: Program) -> None:
    program("verify").blames(2, "roar verify HASH", "--receipt")
    program("verify", "a" * 64, "another").blames(2, "name one published lineage")
