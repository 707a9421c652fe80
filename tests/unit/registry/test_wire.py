"""The client's side of the wire: replies of servers of any age are understood or refused, never half believed."""

import pytest
from msgspec.structs import asdict

from roar_publisher.glaas.features import Health
from roar_publisher.glaas.field_readers import Unreadable
from roar_publisher.glaas.replies import BatchReply, OpenReply, Receipt, ReplyBody

ALL = {
    "authenticated": True,
    "anonymous_public": True,
    "finalize_server_authoritative_hash": True,
    "finalize_expected_counts": True,
    "links_batch": True,
}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"features": None},
        {"features": []},
        {"features": {"registration_sessions": None}},
        {"features": {"registration_sessions": True}},
        {"features": {"registration_sessions": {}}},
        {"features": {"registration_sessions": dict.fromkeys(ALL, "true")}},
        {"features": {"registration_sessions": dict.fromkeys(ALL, 1)}},
        {"features": {"registration_sessions": dict.fromkeys(ALL)}},
    ],
)
def test_a_feature_that_is_not_plainly_there_is_not_supported(body: object) -> None:
    assert asdict(Health.read(body).features.registration_sessions) == dict.fromkeys(ALL, False)


def test_features_are_read_one_by_one_and_unknown_ones_ignored() -> None:
    body = {"status": "ok", "features": {"registration_sessions": {**ALL, "new": True}, "other": 1}}
    assert asdict(Health.read(body).features.registration_sessions) == ALL


def test_optional_fields_may_be_absent_and_unknown_ones_present() -> None:
    assert BatchReply.read({"new": 1}) == BatchReply()


@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (OpenReply, {}),
        (OpenReply, {"registration_session_id": ""}),
        (OpenReply, {"registration_session_id": None}),
        (Receipt, {}),
        (Receipt, {"hash": 7}),
    ],
)
def test_a_reply_without_its_required_fields_is_refused(reply: type[ReplyBody], body: object) -> None:
    with pytest.raises(Unreadable):
        reply.read(body)
