"""The features of a registry, from `GET /health` (`protocol.md §4`)."""

from typing import Self

from pydantic import BaseModel, field_validator

from roar_publisher.glaas.replies import ReplyBody
from roar_publisher.glaas.wire import LARGEST_INTEGER


def _object_or_nothing(value: object) -> object:
    return value if isinstance(value, dict | BaseModel) else {}


def _is_true(value: object) -> bool:
    return value is True


def _size_or_nothing(value: object) -> int | None:
    known = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= LARGEST_INTEGER
    return value if isinstance(value, int) and known else None


def _names_or_nothing(value: object) -> frozenset[str]:
    return frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()


class RegistrationSessionFeatures(ReplyBody):
    """The features of registration sessions. What is absent or not a boolean is not supported."""

    authenticated: bool = False
    anonymous_public: bool = False
    finalize_server_authoritative_hash: bool = False
    finalize_expected_counts: bool = False
    links_batch: bool = False

    _only_true = field_validator("*", mode="before")(_is_true)


class Features(ReplyBody):
    """`features` of `GET /health`. Any level may be absent.

    ssh_signature_host: the registry checks which host an SSH signature was made for (`glaas.signature`).
    max_body_bytes: the size up to which a batch is read; None if the registry does not give it.
    request_encodings: the values of `Content-Encoding` that a body may have.
    legacy_links_batch: the legacy path takes the links of several jobs in one request.
    """

    registration_sessions: RegistrationSessionFeatures = RegistrationSessionFeatures()
    ssh_signature_host: bool = False
    max_body_bytes: int | None = None
    request_encodings: frozenset[str] = frozenset()
    legacy_links_batch: bool = False

    _only_true = field_validator("ssh_signature_host", "legacy_links_batch", mode="before")(_is_true)
    _only_size = field_validator("max_body_bytes", mode="before")(_size_or_nothing)
    _only_names = field_validator("request_encodings", mode="before")(_names_or_nothing)
    _tolerant = field_validator("registration_sessions", mode="before")(_object_or_nothing)


class Health(ReplyBody):
    """`GET /health`."""

    features: Features = Features()

    _tolerant = field_validator("features", mode="before")(_object_or_nothing)

    @classmethod
    def read(cls, body: object) -> Self:
        """Return the health of a server that answered 2xx with `body`, which may be anything."""
        return cls.model_validate(_object_or_nothing(body))
