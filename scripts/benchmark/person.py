"""Somebody who signs: an SSH key in the home of a run, and a registry that knows it."""

import subprocess
import sys
from pathlib import Path

NAME = "alice"


def give_key(home: Path, data: Path) -> None:
    """Make an ed25519 key in `home`, and let the registry whose data are in `data` know it."""
    key = home / ".ssh" / "id_ed25519"
    key.parent.mkdir(mode=0o700)
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(keygen, check=True)
    registry = [sys.executable, "-m", "roar_publisher", "registry"]
    for command in (["user", "add", NAME], ["key", "add", NAME, f"{key}.pub"]):
        subprocess.run([*registry, *command, "--data", str(data)], check=True, capture_output=True)
