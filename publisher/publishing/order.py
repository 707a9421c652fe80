"""What a caller wants published: the arguments of the Python API, or the options of a command line."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct, field

from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.record import NamedBy

if TYPE_CHECKING:
    from pathlib import Path

    from roar_publisher.auth.choice import Flag
    from roar_publisher.planning.put.request import Snapshot

FILES = frozenset({"a source"})
"""The argument that names a file. The file name is checked when the file is read."""


class PutTexts(Protocol):
    """The texts of a put that are checked before anything is read."""

    @property
    def sources(self) -> Sequence[str]: ...
    @property
    def destination(self) -> str: ...
    @property
    def message(self) -> str: ...


class PutOrder(Struct, frozen=True, kw_only=True):
    """The files to store, and how the put is described.

    sources: none means all outputs of the active session. name: the name label of the put job.
    tag: make the git tag and push it; None leaves it to the configuration. again: make a new put job, even if the
    same put is finished. dataset: treat each source folder as a dataset. snapshots, commit: as in `PutRequest`.
    """

    sources: tuple[str, ...]
    destination: str
    message: str
    name: str | None = None
    tag: bool | None = None
    again: bool = False
    dataset: bool = False
    snapshots: "Mapping[str, Snapshot]" = field(default_factory=dict)
    commit: str | None = None


class Order(Struct, frozen=True, kw_only=True):
    """One publish or put, or the one to resume.

    cwd: the folder whose project is meant, and that paths are relative to. target: None for the active session.
    verify: read it back after finalize; None leaves it to the configuration. yes: everything that would be asked is
    agreed to. resume: the beginning of an id; "" for the newest publish of the project; None for a new one. named_by:
    what named `registry`. put: None for lineage only.

    Raises UsageProblem for an empty value.
    """

    cwd: "Path"
    flag: "Flag"
    target: str | None = None
    yes: bool = False
    resume: str | None = None
    detach: bool = False
    registry: str | None = None
    named_by: NamedBy = NamedBy.OPTION
    no_redact: bool = False
    follow_links: bool = False
    limits: TransferLimits = field(default_factory=TransferLimits)
    verify: bool | None = None
    put: PutOrder | None = None

    def __post_init__(self) -> None:
        check_texts(self.target, self.registry, self.put)


def check_texts(target: str | None, registry: str | None, put: PutTexts | None) -> None:
    """Reject empty values, such as those of a script's unset variable, and values that are not text.

    An empty value taken for "not given" would publish more, or elsewhere. A journal can only hold text.
    """
    given = [("the target", target), ("the registry (--registry)", registry)]
    if put is not None:
        given += [("a source", source) for source in put.sources]
        given += [("the destination", put.destination), ("the message (-m)", put.message)]
    for name, value in given:
        if value is not None and not value.strip():
            raise UsageProblem(f"{name} is empty", next_step="give it a value, or leave it out")
        if value is not None and name not in FILES and not _is_text(value):
            raise UsageProblem(
                f"{name} is not valid UTF-8", next_step="type it in UTF-8; a file may be named by its step"
            )


def _is_text(value: str) -> bool:
    """Return whether the value can be encoded in UTF-8. Invalid bytes on the command line become lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)
