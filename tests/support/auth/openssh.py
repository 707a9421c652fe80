"""Real OpenSSH beside ours: keys, an agent, and `ssh-keygen -Y` as the judge of a signature."""

import os
import re
import subprocess
import textwrap
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY_TYPES = {
    "ed25519": ("-t", "ed25519"),
    "ecdsa-256": ("-t", "ecdsa", "-b", "256"),
    "ecdsa-384": ("-t", "ecdsa", "-b", "384"),
    "ecdsa-521": ("-t", "ecdsa", "-b", "521"),
    "rsa": ("-t", "rsa", "-b", "2048"),
}
PASSPHRASE = "canary-passphrase"
HEADER = re.compile(r'Signature keyid="([^"]+)" ts="(\d+)" sig="([^"]+)"')


def make_key(path: Path, kind: str, *options: str, passphrase: str = "") -> Path:
    """A new key pair at `path`, made by `ssh-keygen`."""
    # One round: a passphrase of these tests need not be hard to guess.
    command = ["ssh-keygen", "-q", "-a", "1", *KEY_TYPES[kind], *options, "-N", passphrase, "-C", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def public_line(private: Path) -> str:
    return private.with_name(f"{private.name}.pub").read_text().strip()


def public_blob(private: Path) -> bytes:
    return b64decode(public_line(private).split()[1])


def signature_of(header: str) -> tuple[str, int, bytes]:
    """keyid, timestamp and SSHSIG blob of an `Authorization` header."""
    match = HEADER.fullmatch(header)
    assert match is not None, header
    return match[1], int(match[2]), b64decode(match[3], validate=True)


def ssh_keygen_accepts(public: str, payload: bytes, blob: bytes, folder: Path, namespace: str = "glaas") -> bool:
    """Whether `ssh-keygen -Y verify` finds `blob` a good signature of `payload`."""
    signers, armored = folder / "allowed_signers", folder / "payload.sig"
    signers.write_text(f"someone {public}\n")
    body = "\n".join(textwrap.wrap(b64encode(blob).decode(), 70))
    armored.write_text(f"-----BEGIN SSH SIGNATURE-----\n{body}\n-----END SSH SIGNATURE-----\n")
    command = ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", "someone", "-n", namespace, "-s", str(armored)]
    return subprocess.run(command, input=payload, capture_output=True).returncode == 0


def ssh_keygen_signs(private: Path, payload: bytes, namespace: str = "glaas") -> bytes:
    """The SSHSIG blob that `ssh-keygen -Y sign` makes."""
    command = ["ssh-keygen", "-Y", "sign", "-f", str(private), "-n", namespace]
    armored = subprocess.run(command, input=payload, capture_output=True, check=True).stdout.decode()
    return b64decode("".join(armored.splitlines()[1:-1]))


@contextmanager
def running_agent(folder: Path) -> Iterator[str]:
    """The socket of a real `ssh-agent` that lives as long as the context."""
    socket = folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "ssh-agent says where it listens once it does"
        yield str(socket)
    finally:
        process.terminate()
        process.communicate()


def add_to_agent(socket: str, private: Path, folder: Path) -> None:
    """`ssh-add`, which gets the passphrase from a script instead of a terminal."""
    script = folder / "askpass"
    script.write_text(f"#!/bin/sh\necho {PASSPHRASE}\n")
    script.chmod(0o700)
    environment = {**os.environ, "SSH_AUTH_SOCK": socket, "SSH_ASKPASS": str(script), "SSH_ASKPASS_REQUIRE": "force"}
    subprocess.run(["ssh-add", "-q", str(private)], env=environment, check=True, stdin=subprocess.DEVNULL)
