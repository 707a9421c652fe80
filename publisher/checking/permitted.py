"""Where a repair may write.

The addresses of objects are those that a lineage names, and anybody may have published it. So what this machine did not
put itself is written only below a place that the user names.
"""

import os
from pathlib import Path

from msgspec import Struct

from roar_publisher.inspection.subjects import Subject
from roar_publisher.lineage.boundary import is_inside, is_protected, real_path
from roar_publisher.state.record import ALLOWED_FOLDERS, Plan
from roar_publisher.state.shell import shell_word
from roar_publisher.storage.addresses import Destination, parse_destination


class PermittedPlaces(Struct, frozen=True):
    """The places of one repair.

    named: by the user. proven: whether the registry serves what the hash stands for; otherwise nothing that it says
    leads to a write. imported: real paths of the folders in which an imported publish may write; None for one that was
    planned here.
    """

    named: tuple[Destination, ...] = ()
    proven: bool = True
    imported: tuple[Path, ...] | None = None

    @classmethod
    def of(cls, named: tuple[Destination, ...], plan: Plan | None, *, proven: bool) -> "PermittedPlaces":
        """Return the places. plan: of the put, if this machine has it."""
        folders = plan.intent.get(ALLOWED_FOLDERS) if plan is not None else None
        return cls(named, proven, tuple(map(Path, folders)) if folders else None)

    def why_not(self, subject: Subject) -> str:
        """Return why an object may not be written; empty if it may."""
        address = subject.address
        if subject.content is not None and self._may_put(address):
            return ""
        if address.is_folder and is_protected(Path(address.path)):
            return "other programs read their configuration there"
        if not self.proven:
            return "the lineage differs, and this machine did not put the object there"
        if any(_is_below(address, place) for place in self.named):
            return ""
        return f"this machine did not put it there; to write it, add --allow {shell_word(address.place)}"

    def _may_put(self, address: Destination) -> bool:
        """Return whether the put that has the object in its journal may write there."""
        return self.imported is None or not address.is_folder or is_inside(address.path, self.imported)


def named_place(text: str) -> Destination:
    """Return a place that the user names: a destination, or a folder. Raises UsageProblem."""
    return parse_destination(text if "://" in text else os.path.abspath(os.path.expanduser(text)))


def _is_below(address: Destination, place: Destination) -> bool:
    if address.is_folder and place.is_folder:
        return is_inside(address.path, [real_path(place.path)])
    if (address.scheme, address.bucket) != (place.scheme, place.bucket):
        return False
    return place.path == "" or f"{address.path}/".startswith(f"{place.path}/")
