"""Redact the metadata of jobs and bring it into canonical form, reading only once what repeats in every job.

roar writes packages, host, commit and much more into the metadata of every job; most of it is the same text in all of
them. Metadata is therefore split into pieces, the entries of the object and of the objects in it. A piece that holds no
secret is remembered by its text and its place, with what it becomes.

Redaction judges an entry by its value and the names that lead to it, so that a piece can be judged alone. Where that
does not hold, the metadata is redacted as a whole: a secret is found in it (its findings are counted), a `name` stands
beside a `value`, or a text is no plain JSON object. The pieces are those of msgspec, which is stricter than Python's
decoder; each one is still read by Python's, which writes what is sent.
"""

from typing import NamedTuple

import msgspec

from roar_publisher.lineage.canonical import MetadataText, canonical_value, metadata_text
from roar_publisher.lineage.jsontext import decode, encode, encode_text, parse_json
from roar_publisher.lineage.redaction.redactor import Redactor

KEPT_BYTES = 1024 * 1024
"""How many bytes of pieces are remembered; when there are more, all are forgotten."""
_LONGEST_KEPT = KEPT_BYTES // 8
_OVERHEAD_BYTES = 512
"""What a piece takes beyond its text: most are short."""
_DEPTH = 2
"""How many levels of objects are split: the metadata itself and, for one, `runtime` in it."""


class _Piece(NamedTuple):
    """One entry: its name and value as JSON, as they are sent and in canonical form."""

    sent: str
    canonical: str


class MetadataRedactor:
    """Redacts the metadata of one lineage. Memory does not grow with the lineage."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._split = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._known: dict[tuple[tuple[str, ...], bytes], _Piece | None] = {}
        self._known_bytes = 0

    def redacted(self, text: str) -> tuple[str, MetadataText]:
        """Return metadata (JSON text) without its secrets, and in canonical form as captured, with them.

        Raises LocalProblem if it is nested too deep.
        """
        try:
            clean = self._object((), text)
        except (ValueError, RecursionError):
            clean = None
        if clean is not None:
            return clean.sent, MetadataText(clean.canonical)
        return self._redacted_whole(text), metadata_text(text)

    def _redacted_whole(self, text: str) -> str:
        value = parse_json(text)
        if value is None:
            return self._redactor.text(text)
        return encode(self._redactor.metadata(value) if isinstance(value, dict) else self._redactor.value(value))

    def _object(self, path: tuple[str, ...], text: str | bytes) -> _Piece | None:
        """Return an object at the end of this path, without its name; None if it has to be redacted as a whole.

        Raises ValueError and RecursionError if it is not an object that every decoder reads in the same way.
        """
        table = self._split(text)
        if not table and path:
            return self._leaf(path, "{}")  # the names that lead to it may hold a secret
        if "name" in table and "value" in table:
            return None
        pieces: dict[str, _Piece] = {}
        for name, value in table.items():
            piece = self._piece((*path, name), bytes(value)) if name.isascii() and name.isprintable() else None
            if piece is None:
                return None
            pieces[name] = piece
        sent = ",".join([piece.sent for piece in pieces.values()])
        canonical = ",".join([pieces[name].canonical for name in sorted(pieces)])
        return _Piece(f"{{{sent}}}", f"{{{canonical}}}")

    def _piece(self, path: tuple[str, ...], text: bytes) -> _Piece | None:
        place = (path, text)
        if place in self._known:
            return self._known[place]
        if text.startswith(b"{") and len(path) < _DEPTH:
            below = self._object(path, text)
        else:
            below = self._leaf(path, text.decode())
        name = encode_text(path[-1])
        piece = None if below is None else _Piece(f"{name}:{below.sent}", f"{name}:{below.canonical}")
        self._remember(place, piece)
        return piece

    def _leaf(self, path: tuple[str, ...], text: str) -> _Piece | None:
        value = whole = decode(text)
        for name in reversed(path):
            whole = {name: whole}
        assert isinstance(whole, dict), "a path has a name"
        with self._redactor.uncounted():  # what is found is counted when all of it is redacted
            if self._redactor.metadata(whole) != whole or self._redactor.total:
                return None
        sent = encode(value)
        return _Piece(sent, sent if _has_one_form(value) else canonical_value(text))

    def _remember(self, place: tuple[tuple[str, ...], bytes], piece: _Piece | None) -> None:
        size = len(place[1]) + _OVERHEAD_BYTES
        if size > _LONGEST_KEPT:
            return
        if self._known_bytes + size > KEPT_BYTES:
            self._known.clear()
            self._known_bytes = 0
        self._known[place] = piece
        self._known_bytes += size


def _has_one_form(value: object) -> bool:
    """Return True only if a value is sent in its canonical form: it has no floats and no names to sort."""
    if isinstance(value, list):  # the words of a command
        return all(isinstance(item, str) for item in value)
    return isinstance(value, (str, int, type(None)))
