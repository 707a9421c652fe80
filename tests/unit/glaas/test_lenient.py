"""Fields and their accepted forms, for every endpoint that a publish calls (`protocol.md §4`).

Each row goes through a whole call: status and bytes in, the reply that the steps get out. The registry of these tests
is stricter, looser and odder than ours; what it means is clear to a person in every row.
"""

import json
from typing import Any

import pytest
from msgspec.structs import fields

from roar_publisher.glaas.acceptance import NotAccepted, not_accepted
from roar_publisher.glaas.client import Refused
from roar_publisher.glaas.features import Health
from roar_publisher.glaas.replies import (
    AccessContextReply,
    AnyReply,
    BatchReply,
    DocumentReply,
    LegacySessionReply,
    MeReply,
    OpenReply,
    Receipt,
    RefreshReply,
    ReplyBody,
)
from roar_publisher.state.errors import Transient
from tests.support import virtual
from tests.support.glaas.scripted import Calls, Script, reply

A, B = "a" * 64, "b" * 64
ENDPOINTS: dict[str, tuple[type[ReplyBody], dict[str, Any]]] = {
    "GET /health": (Health, {"features": {"registration_sessions": {"anonymous_public": True}}}),
    "GET /sessions": (AnyReply, {"sessions": []}),
    "GET /auth/me": (MeReply, {"user": {"id": "u1"}, "creatorIdentity": "glaas:user:u1"}),
    "GET /auth/access-context": (AccessContextReply, {"user": {"id": "u1", "sub": "s1"}, "owners": []}),
    "POST /auth/refresh": (RefreshReply, {"access_token": "a-new-token", "expires_in": 3600}),
    "POST /registration-sessions": (OpenReply, {"registration_session_id": "rs1", "created": True}),
    "POST …/jobs/batch": (BatchReply, {"job_ids": ["1", "2"], "errors": [None, None], "created_count": 2}),
    "POST …/artifacts/batch": (BatchReply, {"created": 2, "updated": 0, "errors": 0}),
    "POST …/artifacts/composites": (BatchReply, {"hash": A, "created": True}),
    "POST …/inputs": (BatchReply, {"inputs_linked": 2}),
    "POST …/outputs": (BatchReply, {"outputs_linked": 2}),
    "POST …/finalize": (Receipt, {"hash": A, "url": f"https://glaas.example/dag/{A}", "created": True}),
    "POST …/labels/batch": (BatchReply, {"created": 1, "updated": 0, "unchanged": 1}),
    "POST /sessions": (LegacySessionReply, {"hash": A, "url": f"https://glaas.example/dag/{A}"}),
    "POST /artifacts/batch": (BatchReply, {"created": 2, "existing": 0, "errors": []}),
    "POST /sessions/:hash/jobs/batch": (BatchReply, {"job_ids": ["1", "2"], "errors": []}),
    "POST /labels/sync": (BatchReply, {"created": 2}),
}
MAY_SAY_NOTHING = [
    name for name, (expect, _) in ENDPOINTS.items() if expect in (BatchReply, AnyReply, LegacySessionReply)
]


def names(expect: type[ReplyBody]) -> list[str]:
    return [each.name for each in fields(expect)]


def ask(expect: type[ReplyBody], status: int, body: bytes) -> ReplyBody:
    """What a step gets where the registry answers so, each time."""
    answers: list[ReplyBody] = []

    async def scenario() -> None:
        calls = Calls(Script([], default=lambda: reply(status, body)))
        answers.append(await calls.client.call("POST", "/api/v1/thing", b"{}", expect=expect))

    virtual.run(scenario)
    return answers[0]


def asked(expect: type[ReplyBody], document: object, status: int = 200) -> ReplyBody:
    return ask(expect, status, json.dumps(document).encode())


# ---------------------------------------------------------------- envelopes and statuses


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "envelope",
    [
        lambda body: {"success": True, "data": body},
        lambda body: {"success": 1, "data": body, "message": "ok"},
        lambda body: {"success": "true", "data": body, "error": None},
        lambda body: {"data": body},
        lambda body: {"data": body, "meta": {"request": "r1"}, "status": "ok"},
        lambda body: {"success": True, "data": {"success": True, "data": body}},
        lambda body: body | {"success": True, "message": "done", "error": None},
        lambda body: body | {"error": "", "errors": None, "detail": "staged"},
    ],
)
def test_every_reply_is_read_out_of_every_envelope(endpoint: str, envelope: Any) -> None:
    expect, body = ENDPOINTS[endpoint]
    read = asked(expect, envelope(body))
    if expect is AnyReply:
        return
    bare = expect.read(body)
    if isinstance(read, DocumentReply):
        assert body.items() <= read.document.items()
        return
    assert {name: getattr(read, name) for name in names(expect) if name != "errors"} == {
        name: getattr(bare, name) for name in names(expect) if name != "errors"
    }
    if isinstance(read, BatchReply):
        assert read.not_accepted(2) == []


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_every_reply_may_hold_more_than_is_known(endpoint: str) -> None:
    expect, body = ENDPOINTS[endpoint]
    asked(expect, body | {"new": [1], "job_uid": 7, "inputs_linked": None, "status": None, "mode": ["x"]}, 201)


@pytest.mark.parametrize("endpoint", MAY_SAY_NOTHING)
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (204, b""),
        (205, b""),
        (200, b"null"),
        (201, b"{}"),
        (202, b'{"success": true}'),
        (200, b'{"success": true, "data": null}'),
        (200, b'{"success": true, "data": [{"linked": 1}]}'),
        (200, b'{"success": true, "data": "done"}'),
        (200, b'{"message": "created"}'),
    ],
)
def test_a_reply_may_be_empty_if_the_status_suffices(endpoint: str, status: int, body: bytes) -> None:
    read = ask(ENDPOINTS[endpoint][0], status, body)
    assert not isinstance(read, BatchReply) or read.not_accepted(2) == []


@pytest.mark.parametrize("endpoint", ["POST /registration-sessions", "POST …/finalize", "GET /auth/access-context"])
@pytest.mark.parametrize(("status", "body"), [(204, b""), (200, b"null"), (200, b'{"success": true}')])
def test_a_reply_without_a_required_id_or_hash_is_rejected(endpoint: str, status: int, body: bytes) -> None:
    with pytest.raises(Transient):
        ask(ENDPOINTS[endpoint][0], status, body)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    "document",
    [
        {"success": False, "error": "because"},
        {"success": "false", "message": "because"},
        {"ok": False, "detail": "because", "data": None},
        {"success": False, "error": {"message": "because"}, "data": {}},
        {"status": "error", "message": "because"},
        {"error": "because"},
        {"error": {"detail": "because"}, "data": None},
    ],
)
def test_a_refusal_with_a_good_status_is_a_refusal(endpoint: str, document: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="because"):
        asked(ENDPOINTS[endpoint][0], document)


# ---------------------------------------------------------------- fields

FORMS: list[tuple[str, str, list[Any], Any]] = [
    ("POST /registration-sessions", "registration_session_id", ["7", 7], "7"),
    ("POST /registration-sessions", "created", [True, 1, "true"], True),
    ("POST /registration-sessions", "created", [False, 0, None, "", "no", [], {}], False),
    ("POST /registration-sessions", "status", ["active", "ACTIVE", "open", None, "", 1, {}, "asleep"], "active"),
    ("POST /registration-sessions", "status", ["closed", "Closed", "finalized", "published", "completed"], "closed"),
    ("POST /registration-sessions", "registration_session_token", [None], None),
    ("POST /registration-sessions", "registration_session_token", ["123456", 123456], "123456"),
    ("POST …/jobs/batch", "created_count", [2, 2.0, "2", " 2 ", [1, 2], {"a": 1, "b": 2}], 2),
    ("POST …/jobs/batch", "created_count", [0, "0", [], {}, False], 0),
    ("POST …/jobs/batch", "created_count", [None, "", "some", float("inf"), "NaN", 1.5], None),
    ("POST …/jobs/batch", "existing_count", [1, True, "1", ["x"]], 1),
    ("POST …/jobs/batch", "job_ids", [None], None),
    *(
        ("POST …/artifacts/batch", name, [3, "3", [1, 2, 3]], 3)
        for name in ("created", "updated", "existing", "noops", "unchanged", "inputs_linked", "outputs_linked")
    ),
    ("POST …/jobs/batch", "already_registered_session_hashes", [None, "", [], {}, [None], [""], {"j": None}], []),
    ("POST …/jobs/batch", "already_registered_session_hashes", [[A], A, f"sha256:{A}", [A.upper()], {"job": A}], [A]),
    (
        "POST …/jobs/batch",
        "already_registered_session_hashes",
        [[{"session_hash": A}], {"session_hash": A}, [{"hash": A, "job_uid": "j"}, None]],
        [A],
    ),
    ("POST …/jobs/batch", "already_registered_session_hashes", [[A, B], {"1": A, "2": B}], [A, B]),
    ("POST …/jobs/batch", "existing_binding_prepared", [True, 1, "true"], True),
    ("POST …/jobs/batch", "existing_binding_prepared", [False, None, 0, "", "false", [], {}, 2], False),
    ("POST …/finalize", "hash", [A, A.upper(), f" {A}\n", f"sha256:{A}"], A),
    ("POST …/finalize", "url", [None, "", 7, [], "é", "a\x1b[2J", "x" * 5000, "two words"], None),
    ("POST …/finalize", "created", [True, None, 1, "", "true", "yes", []], True),
    ("POST …/finalize", "created", [False, 0, "false"], False),
    ("POST …/finalize", "status", [None], None),
    ("POST …/finalize", "canonical_version", [None], None),
    ("POST …/finalize", "staged_counts", [None], None),
    ("POST …/finalize", "visibility", ["public", "Public", " PUBLIC\n"], "public"),
    ("POST …/finalize", "visibility", ["private", "PRIVATE"], "private"),
    ("POST …/finalize", "visibility", [None, "", 7, [], {}, "hidden", True], None),
    ("POST /sessions", "hash", [A, A.upper()], A),
    ("POST /sessions", "hash", [None], None),
    ("POST /sessions", "url", [None, "", {}], None),
]


@pytest.mark.parametrize(
    ("endpoint", "field", "form", "meant"),
    [(endpoint, field, form, meant) for endpoint, field, forms, meant in FORMS for form in forms],
)
def test_a_field_is_read_in_every_unambiguous_form(endpoint: str, field: str, form: Any, meant: Any) -> None:
    expect, body = ENDPOINTS[endpoint]
    assert getattr(asked(expect, body | {field: form}), field) == meant


def test_every_reply_field_has_its_forms() -> None:
    covered = {(ENDPOINTS[endpoint][0], field) for endpoint, field, _, _ in FORMS}
    fields = {
        (expect, name) for expect in (OpenReply, BatchReply, Receipt, LegacySessionReply) for name in names(expect)
    }
    assert fields - covered == {(BatchReply, "errors")}, "errors has a table of its own"


@pytest.mark.parametrize("user", [{"id": 7, "sub": 8}, {"id": "7", "sub": "8", "email": [], "username": {}}])
def test_the_user_of_a_bearer_may_be_a_number(user: dict[str, Any]) -> None:
    read = asked(AccessContextReply, {"user": user})
    assert isinstance(read, AccessContextReply)
    assert (read.user.id, read.user.sub, read.user.email) == ("7", "8", None)


# ---------------------------------------------------------------- errors

TAKEN: list[Any] = [
    None,
    0,
    False,
    "",
    " ",
    "0",
    [],
    {},
    [None, None],
    ["", ""],
    [None],
    [False, 0],
    [[], {}],
    [{"error": None}, {"index": 1, "error": ""}],
    [{"success": True}, {"ok": True, "job_uid": "x", "message": "created"}],
    {"0": None, "1": ""},
    {"job1": None},
    {"message": None},
    [None, None, None, None],
]
REFUSED: list[tuple[Any, list[NotAccepted]]] = [
    ([None, "too long"], [NotAccepted(1, why="too long")]),
    (["too long", ""], [NotAccepted(0, why="too long")]),
    ([None, {"message": "too long"}], [NotAccepted(1, why="too long")]),
    ([{"index": 1, "error": "too long"}], [NotAccepted(1, why="too long")]),
    ([{"job_uid": "j2", "detail": "too long"}], [NotAccepted(None, "j2", "too long")]),
    ([None, {"job_uid": "j2", "error": {"message": "too long"}}], [NotAccepted(1, "j2", "too long")]),
    ([{"loc": ["body", "jobs", 1, "command"], "msg": "too long"}], [NotAccepted(1, why="too long")]),
    ([None, ["too long"]], [NotAccepted(1, why="too long")]),
    ([None, True], [NotAccepted(1)]),
    ([None, 422], [NotAccepted(1, why="422")]),
    ([None, {"job_uid": "j2"}], [NotAccepted(1, "j2")]),
    (["too long"], [NotAccepted(None, why="too long")]),
    ("too long", [NotAccepted(None, why="too long")]),
    ({"message": "too long"}, [NotAccepted(None, why="too long")]),
    ({"1": "too long"}, [NotAccepted(1, why="too long")]),
    ({"9": "too long"}, [NotAccepted(None, why="too long")]),
    ({"j2": "too long", "j1": None}, [NotAccepted(None, "j2", "too long")]),
    (1, [NotAccepted(None)]),
    ("2", [NotAccepted(None), NotAccepted(None)]),
    ("²", [NotAccepted(None, why="²")]),
    ("9" * 5000, [NotAccepted(None, why="9" * 5000)]),
    ({"²": "too long"}, [NotAccepted(None, "²", "too long")]),
    ({"9" * 5000: "too long"}, [NotAccepted(None, "9" * 5000, "too long")]),
    (float("inf"), [NotAccepted(None)]),
    (True, [NotAccepted(None)]),
]


@pytest.mark.parametrize("errors", TAKEN, ids=repr)
@pytest.mark.parametrize(
    "endpoint", ["POST …/jobs/batch", "POST …/artifacts/batch", "POST …/inputs", "POST /labels/sync"]
)
def test_an_item_without_an_error_was_accepted(endpoint: str, errors: Any) -> None:
    expect, body = ENDPOINTS[endpoint]
    read = asked(expect, body | {"errors": errors})
    assert isinstance(read, BatchReply)
    assert read.not_accepted(2) == []


@pytest.mark.parametrize(("errors", "meant"), REFUSED, ids=repr)
def test_an_error_identifies_its_item_if_it_can(errors: Any, meant: list[NotAccepted]) -> None:
    assert not_accepted(errors, 2) == meant
