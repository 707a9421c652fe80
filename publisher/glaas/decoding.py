"""Reading of the structs of `batches` from JSON.

`msgspec` checks types and sizes. It would take longer for the patterns of 10,000 names than for all the rest, so these
are looked at here, in one field of all items at a time.

It accepts no number that JSON does not have. Python clients send those (`NaN`) in documents that nothing looks into, so
a body that it refuses is read again by Python's own parser.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from operator import attrgetter
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from roar_publisher.glaas.batches import Name, Text

T = TypeVar("T")
_ESCAPE, _NUL = b"\\", b"\\u0000"
"""How JSON writes control characters, and among them a NUL."""


class NotJson(ValueError):
    """A body is not JSON. The text says where."""


class WrongShape(ValueError):
    """A body is JSON of another shape. The text says where, and nothing of what was sent."""


class _Fields(NamedTuple):
    """Fields of a struct that are names, texts, and lists of structs, with the structs of the latter."""

    names: tuple[str, ...]
    texts: tuple[str, ...]
    lists: tuple[tuple[str, type[Struct]], ...]


def decode(body: bytes, kind: type[T]) -> T:
    """Return the struct in a body, or the list of structs. Raises `NotJson` and `WrongShape`."""
    hashable: Any = kind
    try:
        value: T = _decoder(hashable).decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        value = _converted(body, kind)
    roots: Any = value if isinstance(value, list) else [value]
    has_escapes = _ESCAPE in body
    is_name = _is_name if has_escapes else _is_name_without_escapes
    # Looking for one character takes no time, and for several as long as a fifth of the decoding.
    if roots and not _are_right(roots, type(roots[0]), is_name, nul=has_escapes and _NUL in body):
        raise WrongShape(next(filter(None, (_fault(root, type(root)) for root in roots))))
    return value


@cache
def _decoder(kind: Any) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)


def _converted(body: bytes, kind: type[T]) -> T:
    try:
        document = json.loads(body)
        json.dumps(document, ensure_ascii=False).encode()  # raises for an unpaired surrogate
    except UnicodeError:
        raise NotJson("it is not UTF-8, or holds an unpaired surrogate") from None
    except RecursionError:
        raise NotJson("it is nested too deep") from None
    except ValueError as error:
        raise NotJson(str(error)) from None
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        what = "Invalid value" if what.startswith("Invalid enum value") else what  # it would be quoted
        place = where.strip("`.").replace("[", ".").replace("]", "")  # as pydantic writes places
        raise WrongShape(f"{place or 'body'}: {what}") from None


@cache
def _fields(kind: type[Struct]) -> _Fields:
    leaves = {name: list(_leaves(hint)) for name, hint in get_type_hints(kind, include_extras=True).items()}
    lists = (
        (name, get_args(get_args(leaf)[0])[0]) for name, found in leaves.items() for leaf in found if _is_list(leaf)
    )
    return _Fields(
        tuple(name for name, found in leaves.items() if Name in found),
        tuple(name for name, found in leaves.items() if Text in found),
        tuple(lists),
    )


def _leaves(hint: Any) -> Iterable[Any]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is Annotated and get_origin(get_args(hint)[0]) is list


def _are_right(items: Sequence[Struct], kind: type[Struct], is_name: Callable[[str], bool], *, nul: bool) -> bool:
    """Return whether all names and texts of structs of one kind are valid. nul: whether a text may hold a NUL."""
    fields = _fields(kind)
    for name in fields.names:
        if not is_name("".join(filter(None, map(attrgetter(name), items)))):
            return False
    for name in fields.texts if nul else ():
        if not all(map(_is_text, map(attrgetter(name), items))):
            return False
    parts = ((list(chain.from_iterable(map(attrgetter(name), items))), inner) for name, inner in fields.lists)
    return all(_are_right(some, inner, is_name, nul=nul) for some, inner in parts)


def _is_name(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _is_name_without_escapes(text: str) -> bool:
    """The same for what JSON wrote without escapes, in a tenth of the time."""
    return text.isascii() and " " not in text and "\x7f" not in text


def _is_text(value: object) -> bool:
    return not isinstance(value, str) or "\0" not in value


def _fault(item: Struct, kind: type[Struct]) -> str | None:
    """Return what is wrong with a struct: the place, and the rule that it breaks."""
    fields = _fields(kind)
    for name in fields.names:
        if not _is_name(getattr(item, name) or ""):
            return f"{name}: Expected printable ASCII without spaces"
    for name in fields.texts:
        if not _is_text(getattr(item, name)):
            return f"{name}: Expected a text without NUL"
    for name, inner in fields.lists:
        for number, part in enumerate(getattr(item, name)):
            if fault := _fault(part, inner):
                return f"{name}.{number}.{fault}"
    return None
