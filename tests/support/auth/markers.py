"""Where a credential may hide: every form that a text can take on its way into a file, and a search for all of them."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

from roar_publisher.state.journal import Journal
from roar_publisher.state.units import Kind

SHORTEST = 8
"""Characters of a form that are worth looking for; what is shorter stands in any file by chance."""


def forms(marker: str) -> set[bytes]:
    """A marker as it is, in base64 wherever in a longer text it begins, in hex, and as URLs and JSON escape it."""
    raw = marker.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode(), quote(marker, safe="").encode()}
    found |= {quote_plus(marker).encode(), json.dumps(marker)[1:-1].encode(), repr(marker)[1:-1].encode()}
    found |= set(_base64(raw))
    return {form for form in found if len(form) >= SHORTEST}


def _base64(raw: bytes) -> Iterator[bytes]:
    """What of `raw` is sure to stand in the base64 of any text that holds it."""
    for before in range(3):
        for encode in (b64encode, urlsafe_b64encode):
            text = encode(bytes(before) + raw)
            first = -(-before * 8 // 6)  # characters that the bytes before it have a share in
            whole = (before + len(raw)) * 8 // 6  # the one after depends on what follows
            yield text[first:whole]


def shown(content: bytes, markers: Mapping[str, str]) -> set[str]:
    """The names of the markers that some bytes show, in any form."""
    return {name for name, marker in markers.items() if any(form in content for form in forms(marker))}


def shown_below(folder: Path, markers: Mapping[str, str], *, but: Iterable[Path] = ()) -> dict[str, set[str]]:
    """The files below `folder` that show a marker; the units of a journal are looked at as they would be sent."""
    spared = set(but)
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in spared and (names := shown(_content(path), markers)):
            found[str(path.relative_to(folder))] = names
    return found


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "journal.db":
        with Journal(path, read_only=True) as journal:
            content += b"\n".join(body for kind in Kind for body in journal.units.bodies(kind))
    return content
