"""Which credential publishes (protocol.md §5).  The three tables below are the whole rule; `decide` only looks them up.

1. `INTENTS`: what is asked for, by the flag or else by the repo's scope?  Public never happens by default, and what is
   not public never leaves without a `scope_request`.
2. `CARRIERS`: which of the credentials at hand carries that?
3. `ROUTES`: which way does the server offer to what no credential carries?

In each table exactly one row fits any input (a test goes through them all), so the order of the rows means nothing.
Where it matters whether the server accepts the SSH key, the answer is `PROBE_SSH`: ask it, then decide again with what
it said.  The same function decides again when a credential dies half-way: what is dead is no longer among the
credentials.
"""

from collections.abc import Collection
from enum import Enum
from typing import NamedTuple

from roar_publisher.auth.choice import Capabilities, Choice, Credentials, Decision, Flag, Key, Probe
from roar_publisher.auth.scope import Mode, Scope

__all__ = ["Capabilities", "Choice", "Credentials", "Decision", "Flag", "Key", "Mode", "Probe", "Scope", "decide"]


class _Repo(Enum):
    """The repo's scope, as far as it decides anything."""

    UNSET = "no scope"
    UNSET_PUBLIC = "no scope, but public by default"
    ANONYMOUS = "scope anonymous"
    PRIVATE = "scope private"
    PUBLIC = "scope public"
    PRIVATE_PROJECT = "bound to a private project"
    PUBLIC_PROJECT = "bound to a public project"


class _Intent(Enum):
    """What is asked for, whoever asks."""

    ANONYMOUS = "public, without a credential"
    PUBLIC = "public, unscoped"
    OWN = "private, in the user's own space"
    OWN_IF_SIGNED_IN = "the same, but only if the user is signed in"
    PROJECT = "in the project, with its visibility"
    PROJECT_PRIVATE = "in the project, private"


class _Held(Enum):
    """The best credential at hand: a bearer goes before an SSH key, and one that has lapsed is not forgotten."""

    NOTHING = "nothing"
    LAPSED = "a bearer that has lapsed"
    SSH = "ssh"
    SSH_NAMED = "ssh, by the key that the person named"
    SSH_AND_LAPSED = "ssh, and a bearer that has lapsed"
    SSH_UNUSABLE = "an SSH key that cannot sign"
    BEARER = "bearer"


class _IntentRow(NamedTuple):
    row: str
    flag: Flag
    repos: Collection[_Repo]
    intent: _Intent
    why: str
    note: str = ""


class _CarrierRow(NamedTuple):
    row: str
    intents: Collection[_Intent]
    held: Collection[_Held]
    probes: Collection[Probe]
    decision: Decision
    why: str
    remedies: tuple[str, ...] = ()
    note: str = ""


class _RouteRow(NamedTuple):
    row: str
    capable: bool
    """Whether the server takes anonymous sessions and computes their hash itself."""
    decision: Decision
    why: str


_ANY_REPO, _ANY_HELD, _ANY_PROBE = frozenset(_Repo), frozenset(_Held), frozenset(Probe)
_OWN_KEY, _NONE = {_Held.SSH, _Held.SSH_NAMED}, {_Held.NOTHING, _Held.LAPSED}
_KEY = _OWN_KEY | {_Held.SSH_AND_LAPSED}
_PROJECTS = {_Repo.PRIVATE_PROJECT, _Repo.PUBLIC_PROJECT}
_NO_PROJECT = _ANY_REPO - _PROJECTS
_NO_PUBLIC_PROJECT = _ANY_REPO - {_Repo.PUBLIC_PROJECT}

# fmt: off
INTENTS = (
    _IntentRow("anonymous-flag", Flag.ANONYMOUS, _ANY_REPO, _Intent.ANONYMOUS, "--anonymous"),
    _IntentRow("public-flag", Flag.PUBLIC, _NO_PUBLIC_PROJECT, _Intent.PUBLIC, "--public, whatever the repo's scope"),
    _IntentRow("public-flag-project", Flag.PUBLIC, {_Repo.PUBLIC_PROJECT}, _Intent.PROJECT,
               "--public, and the repo's project is public"),
    _IntentRow("private-flag-project", Flag.PRIVATE, _PROJECTS, _Intent.PROJECT_PRIVATE,
               "--private, in the repo's project"),
    _IntentRow("private-flag", Flag.PRIVATE, _NO_PROJECT, _Intent.OWN, "--private, and the repo has no project"),
    _IntentRow("scope-anonymous", Flag.NONE, {_Repo.ANONYMOUS}, _Intent.ANONYMOUS, "the repo's scope is anonymous"),
    _IntentRow("scope-public", Flag.NONE, {_Repo.PUBLIC}, _Intent.PUBLIC, "the repo's scope is public"),
    _IntentRow("scope-private", Flag.NONE, {_Repo.PRIVATE}, _Intent.OWN, "the repo's scope is private"),
    _IntentRow("scope-project", Flag.NONE, _PROJECTS, _Intent.PROJECT, "the repo's scope is a project"),
    _IntentRow("public-by-default", Flag.NONE, {_Repo.UNSET_PUBLIC}, _Intent.PUBLIC,
               "the repo has no scope, and the configuration says public by default",
               "Public, because `[registration] public_by_default` is true; --private overrides it."),
    _IntentRow("unset", Flag.NONE, {_Repo.UNSET}, _Intent.OWN_IF_SIGNED_IN, "no flag, and the repo has no scope"),
)

_SCOPED = {_Intent.OWN, _Intent.PROJECT, _Intent.PROJECT_PRIVATE}
_SIGN_IN_REMEDIES = (
    "run `roar login`", "configure SSH (`[glaas] key` or ROAR_SSH_KEY)", "publish for everybody with --public")
_LINK_REMEDY = "link the repo (`roar scope use <owner>/<project>`)"
_UNUSABLE = "the SSH key can't be used, and what was to name somebody does not name nobody unasked"
_KEY_INSTEAD = "there is a sign-in, but it has ended, so the SSH key signs"
_KEY_INSTEAD_NOTE = "The sign-in has ended; the SSH key signs instead."
_NAMED_REMEDIES = ("have the registry accept that key", "name another one", "rerun with --anonymous")
_LAPSED_REMEDIES = ("run `roar login`", "rerun with --anonymous")
_UNSET_REMEDIES = (_LINK_REMEDY, "sign in (`roar login`)", "rerun with --public")

CARRIERS = (
    _CarrierRow("none-wanted", {_Intent.ANONYMOUS}, _ANY_HELD, _ANY_PROBE, Decision.ANONYMOUS_SESSION,
                "no credential is used"),
    # Not public, or scoped: an authenticated credential is required, and the server is the judge of it at open.
    _CarrierRow("bearer", _SCOPED, {_Held.BEARER}, _ANY_PROBE, Decision.BEARER, "the bearer token signs"),
    _CarrierRow("ssh", _SCOPED, _OWN_KEY, _ANY_PROBE, Decision.SSH,
                "there is no bearer token, so the SSH key signs"),
    _CarrierRow("ssh-instead", _SCOPED, {_Held.SSH_AND_LAPSED}, _ANY_PROBE, Decision.SSH, _KEY_INSTEAD,
                note=_KEY_INSTEAD_NOTE),
    _CarrierRow("ssh-unusable", _SCOPED, {_Held.SSH_UNUSABLE}, _ANY_PROBE, Decision.STOP,
                "this needs a signed-in user, and the SSH key can't be used", ("run `roar login`",)),
    _CarrierRow("nobody", _SCOPED, _NONE, _ANY_PROBE, Decision.STOP,
                "this needs a signed-in user, and there is neither a bearer token nor an SSH key", _SIGN_IN_REMEDIES),
    # Nobody asked for anything: private for who is signed in, else nothing.
    _CarrierRow("own-bearer", {_Intent.OWN_IF_SIGNED_IN}, {_Held.BEARER}, _ANY_PROBE, Decision.BEARER,
                "signed in with a bearer token, so it stays private"),
    _CarrierRow("own-ssh", {_Intent.OWN_IF_SIGNED_IN}, _KEY, {Probe.NOT_ASKED}, Decision.PROBE_SSH,
                "the server is asked whether the SSH key signs in"),
    _CarrierRow("own-ssh-accepted", {_Intent.OWN_IF_SIGNED_IN}, _KEY, {Probe.ACCEPTED}, Decision.SSH,
                "signed in with an SSH key that the server accepts, so it stays private"),
    _CarrierRow("own-ssh-rejected", {_Intent.OWN_IF_SIGNED_IN}, _KEY, {Probe.REJECTED}, Decision.STOP,
                "the server rejects the SSH key, and public is never a default", _UNSET_REMEDIES),
    _CarrierRow("own-ssh-inconclusive", {_Intent.OWN_IF_SIGNED_IN}, _KEY, {Probe.INCONCLUSIVE}, Decision.STOP,
                "the server did not say whether it accepts the SSH key, and public is never a default",
                (*_UNSET_REMEDIES, "with --private to use the SSH key anyway")),
    _CarrierRow("own-ssh-unusable", {_Intent.OWN_IF_SIGNED_IN}, {_Held.SSH_UNUSABLE}, _ANY_PROBE, Decision.STOP,
                "the SSH key can't be used, and public is never a default",
                ("sign in (`roar login`)", "rerun with --anonymous")),
    _CarrierRow("own-nobody", {_Intent.OWN_IF_SIGNED_IN}, _NONE, _ANY_PROBE, Decision.STOP,
                "nobody is signed in, and public is never a default", _UNSET_REMEDIES),
    # Public and unscoped: a credential is welcome but not required.
    _CarrierRow("public-bearer", {_Intent.PUBLIC}, {_Held.BEARER}, _ANY_PROBE, Decision.BEARER,
                "the bearer token signs"),
    _CarrierRow("public-ssh", {_Intent.PUBLIC}, _KEY, {Probe.NOT_ASKED}, Decision.PROBE_SSH,
                "the server is asked whether it accepts the SSH key"),
    _CarrierRow("public-ssh-accepted", {_Intent.PUBLIC}, _OWN_KEY, {Probe.ACCEPTED}, Decision.SSH,
                "the server accepts the SSH key"),
    _CarrierRow("public-ssh-instead", {_Intent.PUBLIC}, {_Held.SSH_AND_LAPSED}, {Probe.ACCEPTED}, Decision.SSH,
                _KEY_INSTEAD, note=_KEY_INSTEAD_NOTE),
    _CarrierRow("public-ssh-rejected", {_Intent.PUBLIC}, {_Held.SSH}, {Probe.REJECTED}, Decision.ANONYMOUS_SESSION,
                "the server rejects the SSH key, so no credential is used",
                note="The registry does not accept the SSH key, so this publish names nobody."),
    # What a person chose explicitly is used, or nothing is.
    _CarrierRow("public-named-ssh-rejected", {_Intent.PUBLIC}, {_Held.SSH_NAMED}, {Probe.REJECTED}, Decision.STOP,
                "the server rejects the SSH key that was named, and it is not replaced", _NAMED_REMEDIES),
    _CarrierRow("public-ssh-unusable", {_Intent.PUBLIC}, {_Held.SSH_UNUSABLE}, _ANY_PROBE, Decision.STOP,
                _UNUSABLE, ("rerun with --anonymous",)),
    _CarrierRow("public-ssh-inconclusive", {_Intent.PUBLIC}, _KEY, {Probe.INCONCLUSIVE}, Decision.SSH,
                "the server did not say whether it accepts the SSH key, so it signs"),
    _CarrierRow("public-nobody", {_Intent.PUBLIC}, {_Held.NOTHING}, _ANY_PROBE, Decision.ANONYMOUS_SESSION,
                "there is no credential"),
    # A bearer that can't be refreshed gives way to SSH, else stops: what was to name somebody does not name nobody.
    _CarrierRow("public-lapsed", {_Intent.PUBLIC}, {_Held.LAPSED}, _ANY_PROBE, Decision.STOP,
                "the sign-in has ended, and without it this would name nobody", _LAPSED_REMEDIES),
    _CarrierRow("public-lapsed-ssh-rejected", {_Intent.PUBLIC}, {_Held.SSH_AND_LAPSED}, {Probe.REJECTED}, Decision.STOP,
                "the sign-in has ended, and the server rejects the SSH key", _LAPSED_REMEDIES),
)

ROUTES = (
    _RouteRow("session", True, Decision.ANONYMOUS_SESSION, "the server stages anonymous publishes"),
    _RouteRow("legacy", False, Decision.LEGACY, "the server does not stage anonymous publishes"),
)
# fmt: on


def decide(
    flag: Flag,
    scope: Scope,
    credentials: Credentials,
    capabilities: Capabilities,
    probe: Probe = Probe.NOT_ASKED,
) -> Choice:
    """The choice for one publish.  Pure: the same inputs give the same choice, and nothing is asked or read.

    `PROBE_SSH` is an answer only where `probe` is NOT_ASKED.
    """
    repo, held = _repo(scope), _held(credentials)
    asked = next(row for row in INTENTS if row.flag is flag and repo in row.repos)
    carrier = next(r for r in CARRIERS if asked.intent in r.intents and held in r.held and probe in r.probes)
    names, reasons, decision = [asked.row, carrier.row], [asked.why, carrier.why], carrier.decision
    if decision is Decision.ANONYMOUS_SESSION:
        capable = capabilities.anonymous_public and capabilities.server_hash
        route = next(row for row in ROUTES if row.capable is capable)
        names, reasons, decision = [*names, route.row], [*reasons, route.why], route.decision
    scope_request = _scope_request(asked.intent, scope)
    return Choice(
        decision=decision,
        row="/".join(names),
        why="; ".join(reasons),
        public=scope_request is None or scope_request["visibility"] == "public",
        scope_request=scope_request,
        note=" ".join(filter(None, [asked.note, carrier.note])),
        remedies=carrier.remedies,
    )


def possible_decisions(flag: Flag, scope: Scope, credentials: Credentials) -> set[Decision]:
    """What the choice may come to on a server that stages: BEARER, SSH, ANONYMOUS_SESSION; nothing where it stops."""
    anything = Capabilities(anonymous_public=True, server_hash=True, authenticated=True)
    choices = {decide(flag, scope, credentials, anything, probe).decision for probe in Probe}
    return choices - {Decision.STOP, Decision.PROBE_SSH}


def names_its_owner(flag: Flag, scope: Scope) -> bool:
    """Whether the lineage names the owner of the SSH key that signs it: roar-cli looks the owner up for what is public.

    The hash that the remote uids follow from names nobody where the lineage is private (protocol.md §6).
    """
    return decide(flag, scope, Credentials(bearer=True), Capabilities(True, True, True)).public


def asks_for_nobody(flag: Flag, scope: Scope) -> bool:
    """Whether nobody is to be named, whatever the credentials at hand."""
    signed_in = Credentials(bearer=True)
    return possible_decisions(flag, scope, signed_in) == {Decision.ANONYMOUS_SESSION}


def _repo(scope: Scope) -> _Repo:
    if scope.mode is Mode.PROJECT:
        return _Repo.PUBLIC_PROJECT if scope.visibility == "public" else _Repo.PRIVATE_PROJECT
    if scope.mode is Mode.UNSET:
        return _Repo.UNSET_PUBLIC if scope.public_by_default else _Repo.UNSET
    return _Repo[scope.mode.name]


def _held(credentials: Credentials) -> _Held:
    if credentials.bearer:
        return _Held.BEARER
    match credentials.key:
        case Key.UNUSABLE:
            return _Held.SSH_UNUSABLE
        case Key.NONE:
            return _Held.LAPSED if credentials.lapsed else _Held.NOTHING
        case _ if credentials.lapsed:
            return _Held.SSH_AND_LAPSED
        case named_or_usual:
            return _Held.SSH_NAMED if named_or_usual is Key.NAMED else _Held.SSH


def _scope_request(intent: _Intent, scope: Scope) -> dict[str, str] | None:
    """What finalize carries (protocol.md §4, the last paragraph); None for what is public and unscoped."""
    if intent in (_Intent.ANONYMOUS, _Intent.PUBLIC):
        return None
    if intent in (_Intent.OWN, _Intent.OWN_IF_SIGNED_IN):
        return {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    visibility = scope.visibility if intent is _Intent.PROJECT else "private"
    project = {"project_id": scope.project_id} if scope.project_id else {}
    return {"owner_id": scope.owner_id, "owner_type": scope.owner_type, **project, "visibility": visibility}
