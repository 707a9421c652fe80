"""What a test's user may send to a registry: everything, as if the address were typed."""

from pathlib import Path

from roar_publisher.auth.reach import Reach
from roar_publisher.auth.registries import Registries
from roar_publisher.lineage.project import DEFAULT_REGISTRY
from tests.support.lineages import REGISTRY


def reach_to(registry: str = REGISTRY, *, home: Path, named: bool = True, standing: str = "") -> Reach:
    """standing: the registry of the user's own configuration; the same one unless it is given."""
    known = Registries(home / ".config" / "roar" / "registries.json")
    return Reach(registry, named=named, standing=standing or registry, default=DEFAULT_REGISTRY, known=known)
