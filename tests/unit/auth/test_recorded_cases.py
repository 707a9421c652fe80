"""What real roar-cli 0.4.7 did for each credential, scope and flag; where we differ on purpose, what we want."""

import json
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pytest

from roar_publisher.auth.decide import Capabilities, Decision, Flag, HeldCredentials, Key, Probe, RepoScope, decide
from tests.support.checkout import DATA


class Finalize(TypedDict):
    auth: str
    scope_request: dict[str, str] | None


class Case(TypedDict):
    credential: str
    scope: str
    flag: str | None
    exit_code: int
    finalize: Finalize | None
    we_differ: NotRequired[str]


CASES: list[Case] = json.loads((DATA / "auth-cases.json").read_text(encoding="utf-8"))
STAGES = Capabilities(anonymous_public=True, server_hash=True)
PROJECT = {"owner_id": "org-1", "owner_type": "organization", "project_id": "proj-1"}
CONFIGS: dict[str, dict[str, object]] = {
    "unset": {},
    "private": {"scope": {"mode": "private"}},
    "public": {"scope": {"mode": "public"}},
    "anonymous": {"scope": {"mode": "anonymous"}},
    "project-private": {"scope": {"mode": "project"}, "treqs": {**PROJECT, "visibility": "private"}},
    "project-public": {"scope": {"mode": "project"}, "treqs": {**PROJECT, "visibility": "public"}},
    "legacy-binding": {"treqs": PROJECT},
}
CREDENTIALS = {
    "none": HeldCredentials(bearer=False),
    "bearer": HeldCredentials(bearer=True),
    "ssh": HeldCredentials(bearer=False, key=Key.USUAL),
}
BY_AUTHORIZATION = {
    "Bearer": Decision.BEARER,
    "Signature": Decision.SSH,
    "RegistrationSession": Decision.ANONYMOUS_SESSION,
}
OWN = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}


@dataclass(frozen=True, slots=True)
class Outcome:
    decision: Decision
    scope_request: dict[str, str] | None


DIFFERENT = {
    ("none", "unset", None): Outcome(Decision.STOP, None),
    ("none", "project-public", "--anonymous"): Outcome(Decision.ANONYMOUS_SESSION, None),
    ("bearer", "anonymous", "--private"): Outcome(Decision.BEARER, OWN),
    ("ssh", "unset", None): Outcome(Decision.SSH, OWN),
    ("ssh", "anonymous", "--private"): Outcome(Decision.SSH, OWN),
}


def key(case: Case) -> tuple[str, str, str | None]:
    return case["credential"], case["scope"], case["flag"]


def name(case: Case) -> str:
    return f"{case['credential']}-{case['scope']}{case['flag'] or '-no-flag'}"


def wanted(case: Case) -> Outcome:
    """What roar-cli sent: nothing, when it stopped; else the credential and the scope of its finalize."""
    if "we_differ" in case:
        return DIFFERENT[key(case)]
    finalize = case["finalize"]
    if finalize is None:
        return Outcome(Decision.STOP, None)
    return Outcome(BY_AUTHORIZATION[finalize["auth"]], finalize["scope_request"])


@pytest.mark.parametrize("case", CASES, ids=name)
def test_recorded_case(case: Case) -> None:
    credentials, scope = CREDENTIALS[case["credential"]], RepoScope.from_config(CONFIGS[case["scope"]])
    choice = decide(Flag(case["flag"] or ""), scope, credentials, STAGES, Probe.ACCEPTED)
    stops = choice.decision is Decision.STOP
    assert Outcome(choice.decision, None if stops else choice.scope_request) == wanted(case)


def test_the_recording_is_whole_and_every_difference_in_it_is_one_of_ours() -> None:
    assert len(CASES) == len({key(case) for case in CASES}) == 84
    assert {key(case) for case in CASES if "we_differ" in case} == set(DIFFERENT)
