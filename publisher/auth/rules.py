"""The three tables of the choice of a credential (protocol.md §5). `decide` only looks them up.

1. `AUDIENCES`: what the flag, or else the repository's scope, asks for. Public is never the default, and lineage that
   is not public is never sent without a `scope_request`.
2. `CARRIERS`: which of the available credentials carries it. The user's explicit choice is used, or nothing is. An
   unusable credential is never ignored in favour of an anonymous publish.
3. `ROUTES`: which route the server offers for a publish without a credential.

In each table exactly one row matches any input (a test covers all inputs), so the order of the rows has no meaning.
"""

from collections.abc import Collection
from enum import Enum
from typing import NamedTuple

from roar_publisher.auth.choice import Decision, Flag, Probe


class Repo(Enum):
    """The repository's scope, as far as it affects the choice."""

    UNSET = "no scope"
    UNSET_PUBLIC = "no scope, but public by default"
    ANONYMOUS = "scope anonymous"
    PRIVATE = "scope private"
    PUBLIC = "scope public"
    PRIVATE_PROJECT = "bound to a private project"
    PUBLIC_PROJECT = "bound to a public project"


class Audience(Enum):
    """What is requested, whichever credential carries it."""

    ANONYMOUS = "public, without a credential"
    PUBLIC = "public, unscoped"
    OWN = "private, in the user's own space"
    OWN_IF_SIGNED_IN = "the same, but only if the user is signed in"
    PROJECT = "in the project, with its visibility"
    PROJECT_PRIVATE = "in the project, private"


class Held(Enum):
    """The best available credential. A bearer comes before an SSH key; an unusable one is kept in the result."""

    NOTHING = "nothing"
    BEARER_UNUSABLE = "a bearer that cannot be used"
    SSH = "ssh"
    SSH_NAMED = "ssh, by the key that the user named"
    SSH_AND_UNUSABLE_BEARER = "ssh, and a bearer that cannot be used"
    SSH_UNUSABLE = "an SSH key that cannot sign"
    BEARER = "bearer"


class AudienceRow(NamedTuple):
    row: str
    flag: Flag
    repos: Collection[Repo]
    audience: Audience
    why: str
    note: str = ""


class CarrierRow(NamedTuple):
    row: str
    audiences: Collection[Audience]
    held: Collection[Held]
    probes: Collection[Probe]
    decision: Decision
    why: str
    remedies: tuple[str, ...] = ()
    note: str = ""


class RouteRow(NamedTuple):
    row: str
    capable: bool
    """Whether the server supports anonymous sessions and computes their hash itself."""
    decision: Decision
    why: str


_ANY_REPO, _ANY_HELD, _ANY_PROBE = frozenset(Repo), frozenset(Held), frozenset(Probe)
_SSH_ONLY, _NONE = {Held.SSH, Held.SSH_NAMED}, {Held.NOTHING, Held.BEARER_UNUSABLE}
_KEY = _SSH_ONLY | {Held.SSH_AND_UNUSABLE_BEARER}
_PROJECTS = {Repo.PRIVATE_PROJECT, Repo.PUBLIC_PROJECT}
_NO_PROJECT = _ANY_REPO - _PROJECTS
_NO_PUBLIC_PROJECT = _ANY_REPO - {Repo.PUBLIC_PROJECT}

# fmt: off
AUDIENCES = (
    AudienceRow("anonymous-flag", Flag.ANONYMOUS, _ANY_REPO, Audience.ANONYMOUS, "--anonymous"),
    AudienceRow("public-flag", Flag.PUBLIC, _NO_PUBLIC_PROJECT, Audience.PUBLIC, "--public, whatever the scope"),
    AudienceRow("public-flag-project", Flag.PUBLIC, {Repo.PUBLIC_PROJECT}, Audience.PROJECT,
              "--public, and the repository's project is public"),
    AudienceRow("private-flag-project", Flag.PRIVATE, _PROJECTS, Audience.PROJECT_PRIVATE,
              "--private, in the repository's project"),
    AudienceRow("private-flag", Flag.PRIVATE, _NO_PROJECT, Audience.OWN, "--private, and there is no project"),
    AudienceRow("scope-anonymous", Flag.NONE, {Repo.ANONYMOUS}, Audience.ANONYMOUS, "the scope is anonymous"),
    AudienceRow("scope-public", Flag.NONE, {Repo.PUBLIC}, Audience.PUBLIC, "the repository's scope is public"),
    AudienceRow("scope-private", Flag.NONE, {Repo.PRIVATE}, Audience.OWN, "the repository's scope is private"),
    AudienceRow("scope-project", Flag.NONE, _PROJECTS, Audience.PROJECT, "the repository's scope is a project"),
    AudienceRow("public-by-default", Flag.NONE, {Repo.UNSET_PUBLIC}, Audience.PUBLIC,
              "the repository has no scope, and the configuration says public by default",
              "Public, because `[registration] public_by_default` is true; --private overrides it."),
    AudienceRow("unset", Flag.NONE, {Repo.UNSET}, Audience.OWN_IF_SIGNED_IN, "no flag, and there is no scope"),
)

_SCOPED = {Audience.OWN, Audience.PROJECT, Audience.PROJECT_PRIVATE}
_SIGN_IN_REMEDIES = (
    "run `roar login`", "configure SSH (`[glaas] key` or ROAR_SSH_KEY)", "publish for everyone with --public")
_LINK_REMEDY = "bind the repository (`roar scope use <owner>/<project>`)"
_UNUSABLE = "the SSH key cannot be used, and nothing is published anonymously unless that is asked for"
_KEY_INSTEAD = "there is a sign-in, but it cannot be used, so the SSH key signs"
_KEY_INSTEAD_NOTE = "The sign-in cannot be used; the SSH key signs instead."
_NAMED_REMEDIES = ("have the registry accept that key", "name another one", "rerun with --anonymous")
_UNUSABLE_BEARER_REMEDIES = ("run `roar login`", "rerun with --anonymous")
_UNSET_REMEDIES = (_LINK_REMEDY, "sign in (`roar login`)", "rerun with --public")

CARRIERS = (
    CarrierRow("none-wanted", {Audience.ANONYMOUS}, _ANY_HELD, _ANY_PROBE, Decision.ANONYMOUS_SESSION,
               "no credential is used"),
    # Not public, or scoped: a credential is required, and the server checks it at open.
    CarrierRow("bearer", _SCOPED, {Held.BEARER}, _ANY_PROBE, Decision.BEARER, "the bearer token signs"),
    CarrierRow("ssh", _SCOPED, _SSH_ONLY, _ANY_PROBE, Decision.SSH,
               "there is no bearer token, so the SSH key signs"),
    CarrierRow("ssh-instead", _SCOPED, {Held.SSH_AND_UNUSABLE_BEARER}, _ANY_PROBE, Decision.SSH, _KEY_INSTEAD,
               note=_KEY_INSTEAD_NOTE),
    CarrierRow("ssh-unusable", _SCOPED, {Held.SSH_UNUSABLE}, _ANY_PROBE, Decision.STOP,
               "this needs a signed-in user, and the SSH key cannot be used", ("run `roar login`",)),
    CarrierRow("nobody", _SCOPED, _NONE, _ANY_PROBE, Decision.STOP,
               "this needs a signed-in user, and there is neither a bearer token nor an SSH key", _SIGN_IN_REMEDIES),
    # Without a flag and a scope: private for a signed-in user, otherwise stop.
    CarrierRow("own-bearer", {Audience.OWN_IF_SIGNED_IN}, {Held.BEARER}, _ANY_PROBE, Decision.BEARER,
               "signed in with a bearer token, so it stays private"),
    CarrierRow("own-ssh", {Audience.OWN_IF_SIGNED_IN}, _KEY, {Probe.NOT_ASKED}, Decision.PROBE_SSH,
               "the server is asked whether the SSH key signs in"),
    CarrierRow("own-ssh-accepted", {Audience.OWN_IF_SIGNED_IN}, _KEY, {Probe.ACCEPTED}, Decision.SSH,
               "signed in with an SSH key that the server accepts, so it stays private"),
    CarrierRow("own-ssh-rejected", {Audience.OWN_IF_SIGNED_IN}, _KEY, {Probe.REJECTED}, Decision.STOP,
               "the server rejects the SSH key, and public is never a default", _UNSET_REMEDIES),
    CarrierRow("own-ssh-inconclusive", {Audience.OWN_IF_SIGNED_IN}, _KEY, {Probe.INCONCLUSIVE}, Decision.STOP,
               "the server did not say whether it accepts the SSH key, and public is never a default",
               (*_UNSET_REMEDIES, "with --private to use the SSH key anyway")),
    CarrierRow("own-ssh-unusable", {Audience.OWN_IF_SIGNED_IN}, {Held.SSH_UNUSABLE}, _ANY_PROBE, Decision.STOP,
               "the SSH key cannot be used, and public is never a default",
               ("sign in (`roar login`)", "rerun with --anonymous")),
    CarrierRow("own-nobody", {Audience.OWN_IF_SIGNED_IN}, _NONE, _ANY_PROBE, Decision.STOP,
               "you are not signed in, and public is never a default", _UNSET_REMEDIES),
    # Public and unscoped: a credential is optional.
    CarrierRow("public-bearer", {Audience.PUBLIC}, {Held.BEARER}, _ANY_PROBE, Decision.BEARER,
               "the bearer token signs"),
    CarrierRow("public-ssh", {Audience.PUBLIC}, _KEY, {Probe.NOT_ASKED}, Decision.PROBE_SSH,
               "the server is asked whether it accepts the SSH key"),
    CarrierRow("public-ssh-accepted", {Audience.PUBLIC}, _SSH_ONLY, {Probe.ACCEPTED}, Decision.SSH,
               "the server accepts the SSH key"),
    CarrierRow("public-ssh-instead", {Audience.PUBLIC}, {Held.SSH_AND_UNUSABLE_BEARER}, {Probe.ACCEPTED}, Decision.SSH,
               _KEY_INSTEAD, note=_KEY_INSTEAD_NOTE),
    CarrierRow("public-ssh-rejected", {Audience.PUBLIC}, {Held.SSH}, {Probe.REJECTED}, Decision.ANONYMOUS_SESSION,
               "the server rejects the SSH key, so no credential is used"),
    # The user's explicit choice is used, or nothing is.
    CarrierRow("public-named-ssh-rejected", {Audience.PUBLIC}, {Held.SSH_NAMED}, {Probe.REJECTED}, Decision.STOP,
               "the server rejects the SSH key that was named, and it is not replaced", _NAMED_REMEDIES),
    CarrierRow("public-ssh-unusable", {Audience.PUBLIC}, {Held.SSH_UNUSABLE}, _ANY_PROBE, Decision.STOP,
               _UNUSABLE, ("rerun with --anonymous",)),
    CarrierRow("public-ssh-inconclusive", {Audience.PUBLIC}, _KEY, {Probe.INCONCLUSIVE}, Decision.SSH,
               "the server did not say whether it accepts the SSH key, so it signs"),
    CarrierRow("public-nobody", {Audience.PUBLIC}, {Held.NOTHING}, _ANY_PROBE, Decision.ANONYMOUS_SESSION,
               "there is no credential"),
    # An unusable bearer gives way to SSH, otherwise stops: a publish meant to name its user must not become anonymous.
    CarrierRow("public-lapsed", {Audience.PUBLIC}, {Held.BEARER_UNUSABLE}, _ANY_PROBE, Decision.STOP,
               "the sign-in cannot be used, and without it this would be anonymous", _UNUSABLE_BEARER_REMEDIES),
    CarrierRow("public-lapsed-ssh-rejected", {Audience.PUBLIC}, {Held.SSH_AND_UNUSABLE_BEARER}, {Probe.REJECTED},
               Decision.STOP,
               "the sign-in cannot be used, and the server rejects the SSH key", _UNUSABLE_BEARER_REMEDIES),
)

ROUTES = (
    RouteRow("session", True, Decision.ANONYMOUS_SESSION, "the server stages anonymous publishes"),
    RouteRow("legacy", False, Decision.LEGACY, "the server does not stage anonymous publishes"),
)
# fmt: on
