"""Chooses the credential of a publish (protocol.md §5), by lookup in the tables of `rules`, which hold the whole rule.

If the choice depends on whether the server accepts the SSH key, the result is `PROBE_SSH`: probe the server, then
decide again with its answer. The same function decides again when a credential expires during the publish; that
credential is then no longer among the inputs.
"""

from roar_publisher.auth.choice import Capabilities, Choice, Decision, Flag, HeldCredentials, Key, Probe
from roar_publisher.auth.rules import AUDIENCES, CARRIERS, ROUTES, Audience, Held, Repo
from roar_publisher.auth.scope import Mode, RepoScope

__all__ = [
    "Capabilities",
    "Choice",
    "Decision",
    "Flag",
    "HeldCredentials",
    "Key",
    "Mode",
    "Probe",
    "RepoScope",
    "decide",
]


def decide(
    flag: Flag,
    scope: RepoScope,
    credentials: HeldCredentials,
    capabilities: Capabilities,
    probe: Probe = Probe.NOT_ASKED,
) -> Choice:
    """Return the choice for one publish. Pure: it depends on its arguments alone.

    `PROBE_SSH` is a result only if `probe` is NOT_ASKED.
    """
    repo, held = _repo(scope), _held(credentials)
    asked = next(row for row in AUDIENCES if row.flag is flag and repo in row.repos)
    carrier = next(r for r in CARRIERS if asked.audience in r.audiences and held in r.held and probe in r.probes)
    names, reasons, decision = [asked.row, carrier.row], [asked.why, carrier.why], carrier.decision
    if decision is Decision.ANONYMOUS_SESSION:
        capable = capabilities.anonymous_public and capabilities.server_hash
        route = next(row for row in ROUTES if row.capable is capable)
        names, reasons, decision = [*names, route.row], [*reasons, route.why], route.decision
    scope_request = _scope_request(asked.audience, scope)
    return Choice(
        decision=decision,
        row="/".join(names),
        why="; ".join(reasons),
        public=scope_request is None or scope_request["visibility"] == "public",
        scope_request=scope_request,
        note=" ".join(filter(None, [asked.note, carrier.note])),
        remedies=carrier.remedies,
    )


def possible_decisions(flag: Flag, scope: RepoScope, credentials: HeldCredentials) -> set[Decision]:
    """Return the possible decisions on a server that stages: BEARER, SSH, ANONYMOUS_SESSION; none if it must stop."""
    anything = Capabilities(anonymous_public=True, server_hash=True)
    choices = {decide(flag, scope, credentials, anything, probe).decision for probe in Probe}
    return choices - {Decision.STOP, Decision.PROBE_SSH}


def lineage_names_owner(flag: Flag, scope: RepoScope) -> bool:
    """Return whether the lineage names the owner of the SSH key that signs it, which is so only for public lineage.

    roar-cli requests the owner for public lineage. For private lineage, the hash from which the remote uids follow
    names no one (protocol.md §6).
    """
    return decide(flag, scope, HeldCredentials(bearer=True), Capabilities(True, True)).public


def requests_anonymity(flag: Flag, scope: RepoScope) -> bool:
    """Return whether the publish is to be anonymous, whatever credentials exist."""
    signed_in = HeldCredentials(bearer=True)
    return possible_decisions(flag, scope, signed_in) == {Decision.ANONYMOUS_SESSION}


def _repo(scope: RepoScope) -> Repo:
    if scope.mode is Mode.PROJECT:
        return Repo.PUBLIC_PROJECT if scope.visibility == "public" else Repo.PRIVATE_PROJECT
    if scope.mode is Mode.UNSET:
        return Repo.UNSET_PUBLIC if scope.public_by_default else Repo.UNSET
    return Repo[scope.mode.name]


def _held(credentials: HeldCredentials) -> Held:
    if credentials.bearer:
        return Held.BEARER
    match credentials.key:
        case Key.UNUSABLE:
            return Held.SSH_UNUSABLE
        case Key.NONE:
            return Held.BEARER_UNUSABLE if credentials.bearer_unusable else Held.NOTHING
        case _ if credentials.bearer_unusable:
            return Held.SSH_AND_UNUSABLE_BEARER
        case named_or_usual:
            return Held.SSH_NAMED if named_or_usual is Key.NAMED else Held.SSH


def _scope_request(audience: Audience, scope: RepoScope) -> dict[str, str] | None:
    """Return what finalize carries (protocol.md §4, the last paragraph); None for what is public and unscoped."""
    if audience in (Audience.ANONYMOUS, Audience.PUBLIC):
        return None
    if audience in (Audience.OWN, Audience.OWN_IF_SIGNED_IN):
        return {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    visibility = scope.visibility if audience is Audience.PROJECT else "private"
    project = {"project_id": scope.project_id} if scope.project_id else {}
    return {"owner_id": scope.owner_id, "owner_type": scope.owner_type, **project, "visibility": visibility}
