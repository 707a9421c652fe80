"""What a client accepts in a reply: servers differ in age, and some answers are hostile."""

from collections.abc import Iterable

import pytest
from msgspec.structs import fields

from roar_publisher.glaas.features import Health, RegistrationSessionFeatures
from roar_publisher.glaas.field_readers import Unreadable
from roar_publisher.glaas.replies import BatchReply, LegacySessionReply, OpenReply, Receipt, ReplyBody

NOTHING = RegistrationSessionFeatures()


def names(reply: type[ReplyBody]) -> list[str]:
    return [each.name for each in fields(reply)]


@pytest.mark.parametrize(
    "health",
    [
        {},
        {"features": None},
        {"features": "all of them"},
        {"features": {"registration_sessions": True}},
        {"features": {"registration_sessions": {"anonymous_public": "yes", "authenticated": 1}}},
    ],
)
def test_what_is_not_clearly_advertised_is_not_supported(health: object) -> None:
    assert Health.read(health).features.registration_sessions == NOTHING


@pytest.mark.parametrize("health", [None, [], "healthy", 1, True])
def test_a_reply_is_an_object(health: object) -> None:
    with pytest.raises(Unreadable, match="not an object"):
        Health.read(health)


def test_known_features_are_read_beside_unknown_ones() -> None:
    features = {"registration_sessions": {"anonymous_public": True, "time_travel": True}, "more": 1}
    assert Health.read({"features": features}).features.registration_sessions.anonymous_public


@pytest.mark.parametrize(
    ("encodings", "known"),
    [(["gzip", "br"], {"gzip", "br"}), (["gzip", 7, None], {"gzip"}), ("gzip", ()), ({"gzip": True}, ()), (None, ())],
)
def test_request_encodings_are_the_names_in_a_list(encodings: object, known: Iterable[str]) -> None:
    features = Health.read({"features": {"request_encodings": encodings}}).features
    assert features.request_encodings == frozenset(known)


@pytest.mark.parametrize("value", ["true", 1, [], {}, None, False])
def test_links_in_bulk_on_the_legacy_path_are_advertised_by_true_only(value: object) -> None:
    assert not Health.read({"features": {"legacy_links_batch": value}}).features.legacy_links_batch
    assert Health.read({"features": {"legacy_links_batch": True}}).features.legacy_links_batch


@pytest.mark.parametrize(
    "session", ["", "a/b", "..", "a?b", "a#b", "a b", "a\r\nb", "é", "%2e%2e", True, [], None, "x" * 257]
)
def test_a_session_id_that_would_change_the_path_is_rejected(session: object) -> None:
    with pytest.raises(Unreadable):
        OpenReply.read({"registration_session_id": session})


@pytest.mark.parametrize("token", ["a b", "a\r\nX-Evil: 1", "é", "\x00", ["a"], "x" * 5000])
def test_a_token_that_is_not_valid_in_a_header_is_rejected(token: object) -> None:
    with pytest.raises(Unreadable):
        OpenReply.read({"registration_session_id": "a", "registration_session_token": token})


@pytest.mark.parametrize("session", ["5f2c", "0b9e6f6a-8a55-4f6e-b6a5-2f1d5f7a9f10", "rs_1.2~3"])
def test_ordinary_sessions_are_accepted(session: str) -> None:
    reply = {"registration_session_id": session, "registration_session_token": "eyJ.eyJ.sig_-+/="}
    assert OpenReply.read(reply).registration_session_id == session


@pytest.mark.parametrize("hash_", [None, 7, ["a" * 64], {}, True])
def test_the_hash_in_a_receipt_is_text(hash_: object) -> None:
    with pytest.raises(Unreadable):
        Receipt.read({"hash": hash_})


@pytest.mark.parametrize("hash_", ["", "abc", "g" * 64, "a" * 65, "md5:" + "a" * 64])
def test_an_invalid_hash_is_kept_for_the_receipt_check(hash_: str) -> None:
    assert Receipt.read({"hash": hash_}).hash == hash_


def test_a_claim_is_bounded() -> None:
    assert len(Receipt.read({"hash": "a" * 100_000}).hash) <= 200


@pytest.mark.parametrize("reply", [BatchReply, Health, LegacySessionReply])
def test_fields_may_be_absent_or_null(reply: type[ReplyBody]) -> None:
    nothing = dict.fromkeys(names(reply))
    assert nothing
    assert reply.read({}) == reply.read(nothing)


def test_required_fields_are_not_null() -> None:
    known = {"hash": "a" * 64}
    receipt = Receipt.read(dict.fromkeys(names(Receipt)) | known)
    assert receipt == Receipt.read(known)
    assert receipt.created
    session = {"registration_session_id": "a"}
    nulls = dict.fromkeys(names(OpenReply)) | session
    assert OpenReply.read(nulls) == OpenReply.read(session)
