"""Which key signs, where its private half may be, and what the user reads if it cannot be used."""

import re
from base64 import b64encode
from pathlib import Path

import pytest

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.sshkey import PASSPHRASE_ATTEMPTS, KeyLocation, SshSigner, find_key, load_signer
from roar_publisher.glaas.signature import fingerprint, signing_payload
from roar_publisher.state.errors import Conclusion, NeedsUser
from tests.support.auth.fake_agent import FakeAgent, SoftwareSecurityKey
from tests.support.auth.openssh import (
    KEY_TYPES,
    PASSPHRASE,
    add_to_agent,
    make_key,
    public_blob,
    public_line,
    running_agent,
    signature_of,
    ssh_keygen_accepts,
)
from tests.support.processes import running

TS = 1_700_000_000
PATH = "/api/v1/registration-sessions"
BODY = b"{}"


async def is_good(signer: SshSigner, public: str, folder: Path) -> bool:
    """Whether `ssh-keygen` accepts what the signer makes."""
    _keyid, _ts, blob = signature_of(await signer.sign("POST", PATH, BODY, TS))
    return ssh_keygen_accepts(public, signing_payload(TS, "POST", PATH, BODY), blob, folder)


def touch(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def test_the_environment_goes_before_the_configuration_and_that_before_the_usual_names(tmp_path: Path) -> None:
    home = tmp_path
    assert find_key({}, "", home) is None
    ecdsa = touch(home / ".ssh" / "id_ecdsa")
    assert find_key({}, "", home) == KeyLocation(ecdsa)
    rsa = touch(home / ".ssh" / "id_rsa")
    assert find_key({}, "", home) == KeyLocation(rsa)
    ed25519 = touch(home / ".ssh" / "id_ed25519")
    assert find_key({}, "", home) == KeyLocation(ed25519)
    configured, named = touch(home / ".ssh" / "configured"), touch(home / "named")
    assert find_key({}, str(configured), home) == KeyLocation(configured, "`[glaas] key`")
    assert find_key({"ROAR_SSH_KEY": " "}, "~/.ssh/configured", home) == KeyLocation(configured, "`[glaas] key`")
    assert find_key({"ROAR_SSH_KEY": str(named)}, str(configured), home) == KeyLocation(named, "ROAR_SSH_KEY")


def test_only_a_named_key_may_have_just_its_public_half(tmp_path: Path) -> None:
    touch(tmp_path / ".ssh" / "id_ed25519.pub")
    assert find_key({}, "", tmp_path) is None
    key = KeyLocation(tmp_path / ".ssh" / "id_ed25519", "ROAR_SSH_KEY")
    assert find_key({"ROAR_SSH_KEY": str(key.path)}, "", tmp_path) == key
    assert find_key({"ROAR_SSH_KEY": f"{key.path}.pub"}, "", tmp_path) == key


def test_a_configured_key_is_in_the_ssh_folder_by_any_name_of_a_linked_home(tmp_path: Path) -> None:
    """As on clusters, where /home/u leads to /data/u. The key is then used by its real name."""
    (tmp_path / "data" / "u").mkdir(parents=True)
    real = touch(tmp_path / "data" / "u" / ".ssh" / "id_work")
    (tmp_path / "home").symlink_to(tmp_path / "data" / "u")
    assert find_key({}, str(real), tmp_path / "home") == KeyLocation(real, "`[glaas] key`")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "link").symlink_to(real.parent)
    assert find_key({}, str(tmp_path / "project" / "link" / "id_work"), tmp_path / "home") == KeyLocation(
        real, "`[glaas] key`"
    )
    stranger = touch(tmp_path / "project" / "id_work")
    for named in (stranger, tmp_path / "project" / "link" / ".." / ".." / ".." / "project" / "id_work"):
        with pytest.raises(NeedsUser, match=r"is not in ~/\.ssh"):
            find_key({}, str(named), tmp_path / "home")


@pytest.mark.parametrize("named", [".", "/", "~/", "..", "~/.ssh", "nul\0byte"])
def test_a_missing_named_key_is_a_clear_problem(named: str, tmp_path: Path) -> None:
    touch(tmp_path / ".ssh" / "id_ed25519")
    with pytest.raises(NeedsUser, match=r"named by `.glaas. key`, is not a file"):
        find_key({}, named, tmp_path)


@pytest.mark.parametrize(("environ", "configured"), [({"ROAR_SSH_KEY": "/no/key"}, ""), ({}, "/no/key")])
def test_a_named_key_that_is_missing_is_not_replaced_by_another(
    environ: dict[str, str], configured: str, tmp_path: Path
) -> None:
    touch(tmp_path / ".ssh" / "id_ed25519")
    with pytest.raises(NeedsUser, match="/no/key, named by"):
        find_key(environ, configured, tmp_path)


@pytest.mark.parametrize("format_", ["OPENSSH", "PEM", "PKCS8"])
@pytest.mark.anyio
async def test_an_encrypted_key_is_unlocked_with_its_passphrase(format_: str, tmp_path: Path) -> None:
    options = () if format_ == "OPENSSH" else ("-m", format_)
    key = make_key(tmp_path / "key", "ecdsa-256", *options, passphrase=PASSPHRASE)
    prompts: list[str] = []
    answers = iter(["wrong", "", PASSPHRASE])

    def ask(prompt: str) -> Secret:
        prompts.append(prompt)
        return Secret(next(answers))

    signer = await load_signer(key, agent=None, ask=ask)
    assert await is_good(signer, public_line(key), tmp_path)
    assert prompts == [f"Passphrase of {key}: "] * 3


@pytest.mark.parametrize("answer", [None, Secret("wrong")], ids=["gives up", "is wrong each time"])
@pytest.mark.anyio
async def test_a_key_that_stays_locked_needs_the_user(answer: Secret | None, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519", passphrase=PASSPHRASE)
    asked = 0

    def ask(_prompt: str) -> Secret | None:
        nonlocal asked
        asked += 1
        return answer

    with pytest.raises(NeedsUser, match="was not unlocked") as caught:
        await load_signer(key, agent=None, ask=ask)
    assert asked == (PASSPHRASE_ATTEMPTS if answer else 1)
    assert f"ssh-add {key}" in caught.value.next_step
    assert caught.value.conclusion is Conclusion.NEEDS_USER


@pytest.mark.anyio
async def test_a_locked_key_without_agent_or_user_says_what_to_type(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519", passphrase=PASSPHRASE)
    with pytest.raises(NeedsUser, match=r"is locked, and the SSH agent at .* cannot be asked: No such file") as caught:
        await load_signer(key, agent=Agent(str(tmp_path / "no socket")), ask=None)
    assert f"ssh-add {key}" in caught.value.next_step


@pytest.mark.parametrize("kind", KEY_TYPES)
@pytest.mark.anyio
async def test_an_encrypted_key_signs_through_a_real_agent_without_its_passphrase(kind: str, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", kind, passphrase=PASSPHRASE)
    with running_agent(tmp_path) as socket:
        add_to_agent(socket, make_key(tmp_path / "another", "ed25519"), tmp_path)
        add_to_agent(socket, key, tmp_path)
        signer = await load_signer(key, agent=Agent(socket), ask=None)
        assert signer.keyid == fingerprint(public_blob(key))
        assert await is_good(signer, public_line(key), tmp_path)


@pytest.mark.anyio
async def test_a_key_in_the_agent_needs_only_one_of_its_files_here(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519", passphrase=PASSPHRASE)
    public, private = key.with_name("key.pub"), key.read_bytes()
    line = public_line(key)
    with running_agent(tmp_path) as socket:
        add_to_agent(socket, key, tmp_path)
        key.unlink()
        assert await is_good(await load_signer(key, agent=Agent(socket), ask=None), line, tmp_path)
        public.unlink()
        key.write_bytes(private)
        assert await is_good(await load_signer(key, agent=Agent(socket), ask=None), line, tmp_path)


@pytest.mark.anyio
async def test_an_agent_that_ends_half_way_needs_the_user(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519", passphrase=PASSPHRASE)
    with running_agent(tmp_path) as socket:
        add_to_agent(socket, key, tmp_path)
        signer = await load_signer(key, agent=Agent(socket), ask=None)
    with pytest.raises(NeedsUser, match=re.escape(f"does not sign with the key {signer.keyid}")):
        await signer.sign("GET", PATH, None, TS)


@pytest.mark.anyio
async def test_a_security_key_signs_through_its_agent(tmp_path: Path) -> None:
    token = SoftwareSecurityKey()
    key = tmp_path / "id_ed25519_sk"
    line = f"sk-ssh-ed25519@openssh.com {b64encode(token.public).decode()}"
    key.with_name("id_ed25519_sk.pub").write_text(f"{line} me@here\n")
    async with FakeAgent(tmp_path, token.public, token.sign) as socket:
        signer = await load_signer(key, agent=Agent(socket), ask=None)
        assert await is_good(signer, line, tmp_path)


@pytest.mark.anyio
async def test_the_file_of_a_security_key_does_not_sign_without_the_agent_that_holds_the_key(tmp_path: Path) -> None:
    token, key = SoftwareSecurityKey(), tmp_path / "id_ed25519_sk"
    key.write_text(token.handle_file())
    with pytest.raises(NeedsUser, match="is a security key, and no SSH agent holds it"):
        await load_signer(key, agent=None, ask=lambda _prompt: Secret("a passphrase does not help here"))
    async with FakeAgent(tmp_path, token.public, token.sign) as socket:
        assert (await load_signer(key, agent=Agent(socket), ask=None)).keyid == fingerprint(token.public)


@pytest.mark.parametrize(
    "content",
    [b"", b"garbage", b"\xff\xfe", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"],
    ids=["empty", "text", "bytes", "cut short"],
)
@pytest.mark.anyio
async def test_a_file_that_is_not_a_key_is_a_clear_problem(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(NeedsUser, match="holds no private SSH key that can be used"):
        await load_signer(path, agent=None, ask=None)


@pytest.mark.anyio
async def test_every_cut_of_a_key_file_is_a_clear_problem(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519")
    whole = key.read_bytes()
    cut = tmp_path / "cut"
    for length in range(0, len(whole) - len("-----END OPENSSH PRIVATE KEY-----\n"), 7):
        cut.write_bytes(whole[:length])
        with pytest.raises(NeedsUser):
            await load_signer(cut, agent=None, ask=None)


@pytest.mark.anyio
async def test_an_invalid_public_file_is_ignored(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519")
    key.with_name("key.pub").write_text("ssh-ed25519 not-base64! comment")
    signer = await load_signer(key, agent=None, ask=None)
    key.unlink()
    with pytest.raises(NeedsUser, match="has no private file here"):
        await load_signer(key, agent=None, ask=None)
    assert signer.keyid.startswith("SHA256:")


@pytest.mark.parametrize(("kind", "loads"), [("ed25519", False), ("ecdsa-256", True)])
def test_the_most_usual_key_signs_without_the_library_that_takes_long_to_load(
    kind: str, loads: bool, tmp_path: Path
) -> None:
    program = """
import sys, anyio
from pathlib import Path
from roar_publisher.auth.sshkey import load_signer

async def main():
    signer = await load_signer(Path(sys.argv[1]), agent=None, ask=None)
    print(await signer.sign("GET", "/api/v1/auth/me", None, 1), "asyncssh" in sys.modules, sep="\\n")

anyio.run(main)
"""
    key = make_key(tmp_path / "key", kind)
    with running("-c", program, str(key)) as process:
        out, _ = process.communicate()
    header, loaded = out.splitlines()
    assert loaded == str(loads)
    payload = signing_payload(1, "GET", "/api/v1/auth/me", None)
    assert ssh_keygen_accepts(public_line(key), payload, signature_of(header)[2], tmp_path)
