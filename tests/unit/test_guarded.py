"""No credential in the text of a value."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Struct
from rich.pretty import pretty_repr

import roar_publisher
from roar_publisher.auth.secret import Secret
from roar_publisher.guarded import Guarded

CREDENTIALS = {"access_key", "access_token", "device_code", "password", "refresh_token"}
CREDENTIALS |= {"registration_session_token", "secret", "secret_key", "token"}
"""Names of fields that hold a credential as plain text, wherever they occur."""


def kinds(of: type[Struct] = Struct) -> Iterator[type[Struct]]:
    """Every kind of value of the product."""
    for each in of.__subclasses__():
        if each.__module__.startswith("roar_publisher."):
            yield each
        yield from kinds(each)


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> None:
    for module in pkgutil.walk_packages(roar_publisher.__path__, "roar_publisher."):
        if "integrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def filled(kind: type[Struct]) -> Any:
    return kind(**{name: f"marker-{name}-" for name in kind.__struct_fields__})


def test_a_guarded_value_is_shown_without_what_it_hides() -> None:
    guarded = {kind for kind in kinds() if issubclass(kind, Guarded) and kind.HIDDEN}
    assert {kind.__name__ for kind in guarded} >= {
        "Proxy",
        "StoreRequest",
        "Upload",
        "Credentials",
        "RefreshReply",
        "_Kept",
    }
    for kind in guarded:
        value = filled(kind)
        for shown in (repr(value), str(value), f"{value}", f"{[value]!r}", pretty_repr(value), str(kind)):
            for name in kind.__struct_fields__:
                assert (f"marker-{name}-" in shown) is (name not in kind.HIDDEN and shown != str(kind)), (kind, shown)


def test_every_field_of_a_credential_is_hidden() -> None:
    for kind in kinds():
        hidden = kind.HIDDEN if issubclass(kind, Guarded) else ()
        assert set(hidden) <= set(kind.__struct_fields__), f"{kind} hides a field that it does not have"
        for name in CREDENTIALS.intersection(kind.__struct_fields__):
            types = [each.__annotations__.get(name) for each in kind.__mro__ if issubclass(each, Struct)]
            assert name in hidden or {Secret, Secret | None}.intersection(types), f"{kind} shows its {name}"
