"""A bundle of an interrupted put, exported by the program itself, and a machine to import it on."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import anyio

from roar_publisher.auth.choice import Flag
from roar_publisher.lineage.project import find_project
from roar_publisher.planning.freezing import freeze
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.planning.put.prepare import put_planner
from roar_publisher.planning.put.request import PutRequest
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.portable import pack
from roar_publisher.state.record import NamedBy
from tests.support.lineage.captured import captured_project, run_again
from tests.support.lineages import chain, cut, frozen

REGISTRY = "https://registry.example"


@dataclass(frozen=True)
class World:
    """One machine: a project, a home with a secret, a state folder with a publish of its own, and a bundle.

    Everything is below `root`.  destination: a folder in the project, as a URL.
    """

    root: Path
    project: Path
    home: Path
    state: StateFolder
    bundle: Path
    destination: str
    publish_id: str

    @property
    def secret(self) -> Path:
        """A file that an attacker would like to read or to write."""
        return self.home / ".ssh" / "authorized_keys"

    @property
    def environment(self) -> dict[str, str]:
        return {"HOME": str(self.home), "ROAR_STATE_DIR": str(self.state.root)}


def world_in(root: Path) -> World:
    """Make everything below `root`; the publish in the bundle is in the middle of STAGE, and anonymous."""
    home, sender = root / "home", StateFolder(root / "sender")
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "authorized_keys").write_text("ssh-ed25519 AAAA the user's own\n")
    project = captured_project("linear", root)
    run_again(project)
    data = project / "data"
    data.mkdir(exist_ok=True)
    for number in range(3):
        (data / f"{number}.bin").write_bytes(bytes([number]) * 1_000)
    destination = (project / "stored").as_uri()
    here = find_project(project)
    put = PutRequest(
        here, ("model.bin", "data"), destination, "a release", Flag.ANONYMOUS, dataset=True, push_asked=True
    )
    planner = anyio.run(lambda: put_planner(put, report=lambda report: None, clock=time.time))
    request = PublishRequest(here, None, project, REGISTRY, Flag.ANONYMOUS, NamedBy.OPTION)
    planned = freeze(request, sender, clock=time.time, planner=planner)
    with planned.publish as owned:
        owned.journal.checkpoint(Event.PROBED, capabilities={"anonymous_public": True})
        owned.journal.checkpoint(Event.SELECTED, credential="anonymous session", identity="anonymous", why="so")
        owned.journal.checkpoint(Event.OPENED, remote_session="session-1")
        bundle = root / "bundle.tar"
        pack(owned.paths, owned.journal, owned.paths.read_put_record(), bundle)
    shutil.rmtree(sender.root)
    state = StateFolder(root / "state")
    with frozen(state, cut(chain(2))):
        pass
    return World(root, project, home, state, bundle, destination, owned.paths.id)
