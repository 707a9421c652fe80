"""Where a repository publishes to: `[scope]`, `[treqs]` and `[registration]` of roar's configuration (protocol.md §5).

An invalid scope is an error and never treated as unset: with `public_by_default` an unset scope publishes publicly, and
a spelling mistake must not do that.
"""

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

OWNER_TYPES = ("user", "organization")
SCOPE_REMEDY = "Run `roar scope use <owner>/<project>`, or `roar scope clear`."


class Mode(StrEnum):
    """The values of `[scope] mode`. UNSET: there is none, and no project is bound."""

    UNSET = "unset"
    ANONYMOUS = "anonymous"
    PRIVATE = "private"
    PUBLIC = "public"
    PROJECT = "project"


class RepoScope(Struct, frozen=True):
    """What the configuration says about one repository.

    owner_id, owner_type, project_id, visibility: the binding. They are set for `Mode.PROJECT` alone, so a leftover
    binding of an earlier `roar scope use` does not apply to a repository that has since chosen private, public or
    anonymous.
    visibility: `public` or `private`. Any value of the configuration other than `public` means private.
    public_by_default: `[registration] public_by_default`, which applies if the mode is UNSET.
    """

    mode: Mode = Mode.UNSET
    owner_id: str = ""
    owner_type: str = ""
    project_id: str | None = None
    visibility: str = "private"
    public_by_default: bool = False

    @classmethod
    def from_config(cls, config: Mapping[str, object]) -> "RepoScope":
        """Return the scope of a parsed `.roar/config.toml`, or of `[tool.roar]` of a `pyproject.toml`.

        Raises `LocalProblem` for an unknown mode, and for a project binding without an owner.
        """
        registration = _table(config, "registration")
        public_by_default = registration.get("public_by_default", False)
        if not isinstance(public_by_default, bool):
            raise _unclear(f"`[registration] public_by_default` is {public_by_default!r}, not true or false")
        mode, binding = _mode(_table(config, "scope")), _table(config, "treqs")
        if mode is Mode.PROJECT or (mode is Mode.UNSET and _names_project(binding)):
            return cls._bound(binding)
        return cls(mode, public_by_default=public_by_default)

    @classmethod
    def _bound(cls, binding: Mapping[str, object]) -> "RepoScope":
        owner_id, owner_type = _text(binding, "owner_id"), _text(binding, "owner_type")
        if not owner_id:
            raise _unclear("the repository is bound to a project, but `[treqs] owner_id` is missing")
        if owner_type not in OWNER_TYPES:
            raise _unclear(f"`[treqs] owner_type` is {owner_type!r}, neither user nor organization")
        visibility = "public" if _text(binding, "visibility") == "public" else "private"
        return cls(Mode.PROJECT, owner_id, owner_type, _text(binding, "project_id") or None, visibility)


def _mode(table: Mapping[str, object]) -> Mode:
    """Return `[scope] mode`; UNSET if it is missing or empty."""
    text = _text(table, "mode")
    choices = [mode for mode in Mode if mode is not Mode.UNSET]
    if not text:
        return Mode.UNSET
    if text not in choices:
        raise _unclear(f"`[scope] mode` is {text!r}, none of {', '.join(choices)}")
    return Mode(text)


def _names_project(binding: Mapping[str, object]) -> bool:
    return bool(_text(binding, "owner_id") or _text(binding, "project_id"))


def _table(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    table = config.get(name, {})
    if not isinstance(table, Mapping):
        raise _unclear(f"`{name}` is not a table")
    return table


def _text(table: Mapping[str, object], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise _unclear(f"`{key}` is {value!r}, not a text")
    return value.strip()


def _unclear(what: str) -> LocalProblem:
    return LocalProblem(f"roar's configuration is unclear: {what}", next_step=SCOPE_REMEDY, reason=Reason.CONFIG)
