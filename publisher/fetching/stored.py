"""A file of a lineage in an object store, and the choice of files by path, digest or step."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from fnmatch import fnmatchcase

from msgspec import Struct

from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.addresses import Destination, parse_object
from roar_publisher.storage.source import shown

STEP = re.compile(r"@(\d{1,9})")
_PAGE = re.compile(r"https?://\S+/dag/([^/?#\s]+)/?")
"""The address of a lineage's page. The registry that is asked does not follow from it: pages may be elsewhere."""
MOST_NAMED = 10
"""How many files an error names."""
_PREFIX = re.compile(r"[0-9a-f]{8,64}")


class StoredFile(Struct, frozen=True):
    """A file of a lineage.

    digest: blake3, in hex. url: where it is stored. name: where it goes, below the chosen folder.
    """

    digest: str
    url: str
    name: str

    @property
    def address(self) -> Destination:
        """The parsed address. Raises UsageProblem for what is none."""
        return parse_object(self.url)


class Unsafe(Struct, frozen=True):
    """A file that is not fetched because of what the lineage says, or does not say, about it.

    url: empty if it is not known where the file is stored.
    """

    digest: str
    url: str
    why: str


def check_lineage(text: str) -> str:
    """Return the hash of a lineage or a digest, or its first digits, also of the address of a lineage's page.

    Raises UsageProblem for anything else.
    """
    if page := _PAGE.fullmatch(text):
        text = page[1]
    if not _PREFIX.fullmatch(text):
        raise UsageProblem(
            f"{text!r} is neither the hash of a lineage nor a digest (8 to 64 hexadecimal digits)",
            next_step="copy it from the end of the lineage's address, or from: roar journal show ID",
        )
    return text


def steps_in(selections: Iterable[str]) -> frozenset[int]:
    """Return the steps that selections name (`@4`)."""
    return frozenset(int(found[1]) for each in selections if (found := STEP.fullmatch(each)))


def select(
    files: Sequence[StoredFile],
    unsafe: Sequence[Unsafe],
    selections: Sequence[str],
    of_step: Mapping[int, Set[str]],
) -> tuple[list[StoredFile], list[Unsafe]]:
    """Return the files that any selection names, and those of them that are unsafe; without selections, all.

    A selection is a path, a glob (`*` also matches `/`), a folder, a digest of 8 or more digits, or a step (`@4`: what
    it wrote, or for a put what it stored). An unsafe file has no name here: digests and steps alone name it.
    of_step: the digests of each step that is named.
    Raises UsageProblem for a selection that names none.
    """
    if not selections:
        return list(files), list(unsafe)
    digests = [*(file.digest for file in files), *(each.digest for each in unsafe)]
    chosen: set[str] = set()
    for selection in selections:
        named = {file.digest for file in files if _matches(selection, file.name)}
        named.update(digest for digest in digests if _means(selection, digest, of_step))
        if not named:
            raise UsageProblem(
                f"no stored file of this lineage matches {selection!r}{_names_of(files)}",
                next_step="leave the selection out to fetch everything, or use a path, a glob, a digest or a step (@4)",
            )
        chosen |= named
    return [file for file in files if file.digest in chosen], [each for each in unsafe if each.digest in chosen]


def _names_of(files: Sequence[StoredFile]) -> str:
    """Return the names that there are, as the end of an error's sentence; at most MOST_NAMED."""
    names = [shown(file.name) for file in files[:MOST_NAMED]]
    more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
    return f"; it has {', '.join(names)}{more}" if names else ""


def _matches(selection: str, name: str) -> bool:
    if STEP.fullmatch(selection):
        return False
    folder = selection.rstrip("/") + "/"
    return name == selection or fnmatchcase(name, selection) or name.startswith(folder)


def _means(selection: str, digest: str, of_step: Mapping[int, Set[str]]) -> bool:
    if step := STEP.fullmatch(selection):
        return digest in of_step.get(int(step[1]), frozenset())
    return _PREFIX.fullmatch(selection) is not None and digest.startswith(selection)
