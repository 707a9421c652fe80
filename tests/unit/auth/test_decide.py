"""The choice of a credential against protocol.md §5, row by row, and as properties over every input there is."""

from collections.abc import Iterator
from itertools import product

import pytest

from roar_publisher.auth import rules as table
from roar_publisher.auth.decide import (
    Capabilities,
    Choice,
    Decision,
    Flag,
    HeldCredentials,
    Key,
    Mode,
    Probe,
    RepoScope,
    decide,
)
from roar_publisher.state.errors import Conclusion

STAGES = Capabilities(anonymous_public=True, server_hash=True)
NO_CREDENTIAL = HeldCredentials(bearer=False)
SSH = HeldCredentials(bearer=False, key=Key.USUAL)
NAMED = HeldCredentials(bearer=False, key=Key.NAMED)
UNUSABLE = HeldCredentials(bearer=False, key=Key.UNUSABLE)
BEARER = HeldCredentials(bearer=True)
BOTH = HeldCredentials(bearer=True, key=Key.USUAL)
BEARER_UNUSABLE = HeldCredentials(bearer=False, bearer_unusable=True)
SSH_AND_UNUSABLE_BEARER = HeldCredentials(bearer=False, key=Key.USUAL, bearer_unusable=True)

UNSET = RepoScope()
UNSET_PUBLIC = RepoScope(public_by_default=True)
PRIVATE = RepoScope(Mode.PRIVATE)
PUBLIC = RepoScope(Mode.PUBLIC)
ANONYMOUS = RepoScope(Mode.ANONYMOUS)
PROJECT = RepoScope(Mode.PROJECT, "org-1", "organization", "proj-1")
PUBLIC_PROJECT = RepoScope(Mode.PROJECT, "org-1", "organization", "proj-1", "public")
OWNER_ONLY = RepoScope(Mode.PROJECT, "u-1", "user")

OWN = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
IN_PROJECT = {"owner_id": "org-1", "owner_type": "organization", "project_id": "proj-1", "visibility": "private"}
IN_PUBLIC = {**IN_PROJECT, "visibility": "public"}
IN_OWNER = {"owner_id": "u-1", "owner_type": "user", "visibility": "private"}

SCOPES = (UNSET, UNSET_PUBLIC, PRIVATE, PUBLIC, ANONYMOUS, PROJECT, PUBLIC_PROJECT, OWNER_ONLY)

Expected = tuple[Flag, RepoScope, HeldCredentials, Probe, Decision, dict[str, str] | None]
# fmt: off
ROWS: dict[str, Expected] = {
    # §5.1, the flags
    "anonymous-flag/none-wanted/session": (
        Flag.ANONYMOUS, PUBLIC_PROJECT, BOTH, Probe.NOT_ASKED, Decision.ANONYMOUS_SESSION, None),
    "public-flag/public-bearer": (Flag.PUBLIC, PROJECT, BEARER, Probe.NOT_ASKED, Decision.BEARER, None),
    "public-flag-project/bearer": (Flag.PUBLIC, PUBLIC_PROJECT, BEARER, Probe.NOT_ASKED, Decision.BEARER, IN_PUBLIC),
    "public-flag-project/ssh": (Flag.PUBLIC, PUBLIC_PROJECT, SSH, Probe.NOT_ASKED, Decision.SSH, IN_PUBLIC),
    "public-flag-project/nobody": (
        Flag.PUBLIC, PUBLIC_PROJECT, NO_CREDENTIAL, Probe.NOT_ASKED, Decision.STOP, IN_PUBLIC),
    "private-flag-project/bearer": (
        Flag.PRIVATE, PUBLIC_PROJECT, BEARER, Probe.NOT_ASKED, Decision.BEARER, IN_PROJECT),
    "private-flag-project/ssh": (Flag.PRIVATE, OWNER_ONLY, SSH, Probe.NOT_ASKED, Decision.SSH, IN_OWNER),
    "private-flag-project/nobody": (Flag.PRIVATE, PROJECT, NO_CREDENTIAL, Probe.NOT_ASKED, Decision.STOP, IN_PROJECT),
    "private-flag/bearer": (Flag.PRIVATE, ANONYMOUS, BOTH, Probe.NOT_ASKED, Decision.BEARER, OWN),
    "private-flag/ssh": (Flag.PRIVATE, UNSET_PUBLIC, SSH, Probe.REJECTED, Decision.SSH, OWN),
    "private-flag/nobody": (Flag.PRIVATE, PUBLIC, NO_CREDENTIAL, Probe.NOT_ASKED, Decision.STOP, OWN),
    # §5.1, the scopes
    "scope-anonymous/none-wanted/session": (
        Flag.NONE, ANONYMOUS, BOTH, Probe.NOT_ASKED, Decision.ANONYMOUS_SESSION, None),
    "scope-public/public-bearer": (Flag.NONE, PUBLIC, BOTH, Probe.NOT_ASKED, Decision.BEARER, None),
    "scope-private/bearer": (Flag.NONE, PRIVATE, BEARER, Probe.NOT_ASKED, Decision.BEARER, OWN),
    "scope-private/ssh": (Flag.NONE, PRIVATE, SSH, Probe.NOT_ASKED, Decision.SSH, OWN),
    "scope-private/nobody": (Flag.NONE, PRIVATE, NO_CREDENTIAL, Probe.NOT_ASKED, Decision.STOP, OWN),
    "scope-project/bearer": (Flag.NONE, PUBLIC_PROJECT, BEARER, Probe.NOT_ASKED, Decision.BEARER, IN_PUBLIC),
    "scope-project/ssh": (Flag.NONE, PROJECT, SSH, Probe.NOT_ASKED, Decision.SSH, IN_PROJECT),
    "scope-project/nobody": (Flag.NONE, PUBLIC_PROJECT, NO_CREDENTIAL, Probe.NOT_ASKED, Decision.STOP, IN_PUBLIC),
    # §5.1, neither
    "public-by-default/public-nobody/session": (
        Flag.NONE, UNSET_PUBLIC, NO_CREDENTIAL, Probe.NOT_ASKED, Decision.ANONYMOUS_SESSION, None),
    "public-by-default/public-bearer": (Flag.NONE, UNSET_PUBLIC, BEARER, Probe.NOT_ASKED, Decision.BEARER, None),
    "unset/own-bearer": (Flag.NONE, UNSET, BOTH, Probe.NOT_ASKED, Decision.BEARER, OWN),
    "unset/own-ssh": (Flag.NONE, UNSET, SSH, Probe.NOT_ASKED, Decision.PROBE_SSH, OWN),
    "unset/own-ssh-accepted": (Flag.NONE, UNSET, SSH, Probe.ACCEPTED, Decision.SSH, OWN),
    "unset/own-ssh-rejected": (Flag.NONE, UNSET, SSH, Probe.REJECTED, Decision.STOP, OWN),
    "unset/own-ssh-inconclusive": (Flag.NONE, UNSET, SSH, Probe.INCONCLUSIVE, Decision.STOP, OWN),
    "unset/own-nobody": (Flag.NONE, UNSET, NO_CREDENTIAL, Probe.NOT_ASKED, Decision.STOP, OWN),
    # §5.3
    "public-flag/public-ssh": (Flag.PUBLIC, UNSET, SSH, Probe.NOT_ASKED, Decision.PROBE_SSH, None),
    "public-flag/public-ssh-accepted": (Flag.PUBLIC, PROJECT, SSH, Probe.ACCEPTED, Decision.SSH, None),
    "public-flag/public-ssh-rejected/session": (
        Flag.PUBLIC, UNSET, SSH, Probe.REJECTED, Decision.ANONYMOUS_SESSION, None),
    "public-flag/public-ssh-inconclusive": (Flag.PUBLIC, UNSET, SSH, Probe.INCONCLUSIVE, Decision.SSH, None),
    "public-flag/public-nobody/session": (
        Flag.PUBLIC, PRIVATE, NO_CREDENTIAL, Probe.NOT_ASKED, Decision.ANONYMOUS_SESSION, None),
    # §5, the last paragraph: a bearer that cannot be refreshed gives way to SSH, else stops
    "public-flag/public-lapsed": (Flag.PUBLIC, UNSET, BEARER_UNUSABLE, Probe.NOT_ASKED, Decision.STOP, None),
    "public-flag/public-lapsed-ssh-rejected": (
        Flag.PUBLIC, UNSET, SSH_AND_UNUSABLE_BEARER, Probe.REJECTED, Decision.STOP, None),
    "public-flag/public-ssh-instead": (Flag.PUBLIC, UNSET, SSH_AND_UNUSABLE_BEARER, Probe.ACCEPTED, Decision.SSH, None),
    "private-flag/ssh-instead": (Flag.PRIVATE, UNSET, SSH_AND_UNUSABLE_BEARER, Probe.NOT_ASKED, Decision.SSH, OWN),
    # what is chosen explicitly is used or nothing is, and what cannot be used is passed over for nothing
    "public-flag/public-named-ssh-rejected": (Flag.PUBLIC, UNSET, NAMED, Probe.REJECTED, Decision.STOP, None),
    "public-flag/public-ssh-unusable": (Flag.PUBLIC, UNSET, UNUSABLE, Probe.NOT_ASKED, Decision.STOP, None),
    "private-flag/ssh-unusable": (Flag.PRIVATE, UNSET, UNUSABLE, Probe.NOT_ASKED, Decision.STOP, OWN),
    "unset/own-ssh-unusable": (Flag.NONE, UNSET, UNUSABLE, Probe.NOT_ASKED, Decision.STOP, OWN),
}
# fmt: on


@pytest.mark.parametrize("row", ROWS)
def test_each_row_of_the_protocol_decides_as_written(row: str) -> None:
    flag, scope, credentials, probe, decision, scope_request = ROWS[row]
    choice = decide(flag, scope, credentials, STAGES, probe)
    assert (choice.row, choice.decision, choice.scope_request) == (row, decision, scope_request)


@pytest.mark.parametrize("anonymous_public", [True, False])
@pytest.mark.parametrize("server_hash", [True, False])
def test_an_anonymous_publish_is_staged_only_where_the_server_offers_both(
    anonymous_public: bool, server_hash: bool
) -> None:
    choice = decide(Flag.ANONYMOUS, UNSET, BOTH, Capabilities(anonymous_public, server_hash))
    staged = anonymous_public and server_hash
    assert choice.decision is (Decision.ANONYMOUS_SESSION if staged else Decision.LEGACY)
    assert choice.row == f"anonymous-flag/none-wanted/{'session' if staged else 'legacy'}"


def test_public_by_default_says_so_and_a_flag_does_not() -> None:
    assert "public_by_default" in decide(Flag.NONE, UNSET_PUBLIC, NO_CREDENTIAL, STAGES).note
    assert decide(Flag.PUBLIC, UNSET_PUBLIC, NO_CREDENTIAL, STAGES).note == ""


def test_the_stop_for_an_unset_scope_names_every_way_out() -> None:
    problem = decide(Flag.NONE, UNSET, NO_CREDENTIAL, STAGES).problem()
    assert problem.conclusion is Conclusion.NEEDS_USER
    assert problem.reason == "auth"
    assert problem.what == "no flag, and there is no scope; you are not signed in, and public is never a default"
    assert problem.next_step == (
        "bind the repository (`roar scope use <owner>/<project>`), sign in (`roar login`), or rerun with --public"
    )


def test_the_stop_for_a_private_publish_names_both_credentials_and_the_way_without() -> None:
    problem = decide(Flag.PRIVATE, UNSET, NO_CREDENTIAL, STAGES).problem()
    assert problem.next_step == (
        "run `roar login`, configure SSH (`[glaas] key` or ROAR_SSH_KEY), or publish for everyone with --public"
    )


def every_input() -> Iterator[tuple[Flag, RepoScope, HeldCredentials, Capabilities, Probe]]:
    booleans = (False, True)
    credentials = [HeldCredentials(*levels) for levels in product(booleans, Key, booleans)]
    capabilities = [Capabilities(*levels) for levels in product(booleans, repeat=2)]
    return product(Flag, SCOPES, credentials, capabilities, Probe)


def every_choice() -> Iterator[tuple[Flag, RepoScope, HeldCredentials, Probe, Choice]]:
    for flag, scope, credentials, capabilities, probe in every_input():
        yield flag, scope, credentials, probe, decide(flag, scope, credentials, capabilities, probe)


def test_exactly_one_row_of_each_table_fits_any_input() -> None:
    for flag, repo in product(Flag, table.Repo):
        assert len([row for row in table.AUDIENCES if row.flag is flag and repo in row.repos]) == 1, (flag, repo)
    for audience, held, probe in product(table.Audience, table.Held, Probe):
        fitting = [r for r in table.CARRIERS if audience in r.audiences and held in r.held and probe in r.probes]
        assert len(fitting) == 1, (audience, held, probe)
    assert sorted(row.capable for row in table.ROUTES) == [False, True]


def test_every_row_of_the_tables_is_reached_by_some_input_and_every_one_is_tested() -> None:
    reached = {part for *_, choice in every_choice() for part in choice.row.split("/")}
    tested = {part for row in ROWS for part in row.split("/")} | {"legacy"}
    rows = (
        {row.row for row in table.AUDIENCES} | {row.row for row in table.CARRIERS} | {row.row for row in table.ROUTES}
    )
    assert reached == rows == tested


def test_public_is_never_a_default() -> None:
    for flag, scope, *_, choice in every_choice():
        asked_by_flag = flag in (Flag.PUBLIC, Flag.ANONYMOUS)
        asked_by_scope = flag is Flag.NONE and scope in (UNSET_PUBLIC, PUBLIC, ANONYMOUS, PUBLIC_PROJECT)
        assert choice.public == (asked_by_flag or asked_by_scope), (flag, scope)


def test_private_never_leaves_without_a_scope_request_nor_without_a_credential() -> None:
    for *_, credentials, _probe, choice in every_choice():
        if not choice.public:
            assert choice.scope_request is not None
            assert choice.scope_request["visibility"] == "private"
            assert choice.decision not in (Decision.ANONYMOUS_SESSION, Decision.LEGACY)
        if choice.decision is Decision.BEARER:
            assert credentials.bearer
        if choice.decision in (Decision.SSH, Decision.PROBE_SSH):
            assert credentials.key in (Key.USUAL, Key.NAMED)
            assert not credentials.bearer


def test_a_publish_without_a_credential_is_confirmed_and_unscoped() -> None:
    for *_, choice in every_choice():
        assert choice.needs_confirmation == (choice.decision in (Decision.ANONYMOUS_SESSION, Decision.LEGACY))
        if choice.needs_confirmation:
            assert choice.scope_request is None


def test_a_publish_with_a_credential_never_becomes_anonymous_unasked() -> None:
    for flag, scope, credentials, _probe, choice in every_choice():
        explicit_or_broken = credentials.key in (Key.NAMED, Key.UNUSABLE)
        if choice.needs_confirmation and (credentials.bearer_unusable or credentials.bearer or explicit_or_broken):
            assert flag is Flag.ANONYMOUS or (flag is Flag.NONE and scope is ANONYMOUS)


def test_the_server_is_asked_about_the_key_at_most_once() -> None:
    for *_, probe, choice in every_choice():
        assert choice.decision is not Decision.PROBE_SSH or probe is Probe.NOT_ASKED


def test_only_a_stop_has_remedies() -> None:
    for *_, choice in every_choice():
        assert bool(choice.remedies) == (choice.decision is Decision.STOP)
