"""Click parameters that the fields of a dataclass declare, so that an option is declared once.

A field's metadata holds what `click.option` takes, the names of the option under `NAMES`, and under `PARSE` a function
that turns the typed text into a value or raises ValueError. A field whose `default_factory` is such a dataclass
contributes the parameters of that class. Fields without metadata are not parameters.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, Field, field, fields, is_dataclass
from typing import Any, TypeVar

import click

NAMES, PARSE = "names", "parse"

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def option(*names: str, **attributes: Any) -> Any:
    """Declare a field that an option sets; without names, that an argument sets.

    attributes: those of `click.option`. The default is False for a flag and None for the rest; a `required` field has
    none.
    """
    metadata = {NAMES: names, **attributes}
    if attributes.get("required"):
        return field(metadata=metadata)
    return field(default=False if attributes.get("is_flag") else None, metadata=metadata)


def declare(kind: type[Any], *, without: Collection[str] = ()) -> Callable[[F], F]:
    """Return a decorator that adds the parameters of `kind` to a command, in the order of its fields.

    without: names of fields that this command has no parameter for.
    """

    def decorate(command: F) -> F:
        for each in reversed([*_declared(kind)]):
            if each.name not in without:
                command = _parameter(each)(command)
        return command

    return decorate


def build(kind: type[T], given: Mapping[str, Any], **others: Any) -> T:
    """Return a `kind` with the values of its parameters in `given`, by field name, and with `others`.

    Raises what its own checks raise.
    """
    for each in fields(kind):  # type: ignore[arg-type]  # a dataclass
        if (group := _group(each)) is not None:
            others[each.name] = build(group, given)
        elif each.metadata and each.name in given:
            others[each.name] = given[each.name]
    return kind(**others)


def _declared(kind: type[Any]) -> Iterator[Field[Any]]:
    for each in fields(kind):
        if (group := _group(each)) is not None:
            yield from _declared(group)
        elif each.metadata:
            yield each


def _group(declared: Field[Any]) -> type[Any] | None:
    """Return the dataclass whose parameters a field contributes, or None."""
    factory: object = declared.default_factory
    return factory if isinstance(factory, type) and is_dataclass(factory) else None


def _parameter(declared: Field[Any]) -> Callable[[F], F]:
    attributes = dict(declared.metadata)
    names = attributes.pop(NAMES)
    if PARSE in attributes:
        attributes["type"] = _Parsed(attributes.pop(PARSE))
    if declared.default is not MISSING:
        attributes["default"] = declared.default
    return (click.option if names else click.argument)(*names, declared.name, **attributes)


class _Parsed(click.ParamType[Any]):
    """A value that a function parses."""

    name = "value"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(str(value).strip())
        except ValueError as error:
            self.fail(str(error), param, ctx)
