"""The features of a registry, from `GET /health` (`protocol.md §4`)."""

from typing import Annotated, Self

from msgspec import field

from roar_publisher.glaas.protocol import LARGEST_INTEGER
from roar_publisher.glaas.replies import ReplyBody


def _is_true(value: object) -> bool:
    return value is True


def _size_or_nothing(value: object) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 < value <= LARGEST_INTEGER else None


def _names_or_nothing(value: object) -> frozenset[str]:
    return frozenset(name for name in value if isinstance(name, str)) if isinstance(value, list) else frozenset()


Advertised = Annotated[bool, _is_true]
"""A feature. What is absent or not a boolean is not supported."""


class FeatureGroup(ReplyBody, frozen=True):
    """Features of which none are supported if a server sends something other than an object."""

    @classmethod
    def read_or_nothing(cls, body: object) -> Self:
        return cls.read(body if isinstance(body, dict) else {})


class RegistrationSessionFeatures(FeatureGroup, frozen=True):
    """The features of registration sessions."""

    authenticated: Advertised = False
    anonymous_public: Advertised = False
    finalize_server_authoritative_hash: Advertised = False
    finalize_expected_counts: Advertised = False
    links_batch: Advertised = False


class Features(FeatureGroup, frozen=True):
    """`features` of `GET /health`. Any level may be absent.

    ssh_signature_host: the registry checks which host an SSH signature was made for (`glaas.signature`).
    max_body_bytes: the size up to which a batch is read; None if the registry does not give it.
    request_encodings: the values of `Content-Encoding` that a body may have.
    legacy_links_batch: the legacy path takes the links of several jobs in one request.
    lineage_readback: the registry serves everything that the hash of a lineage covers.
    label_readback: it serves all labels of a lineage.
    receipts: the registry signs receipts.
    """

    registration_sessions: Annotated[RegistrationSessionFeatures, RegistrationSessionFeatures.read_or_nothing] = field(
        default_factory=RegistrationSessionFeatures
    )
    ssh_signature_host: Advertised = False
    max_body_bytes: Annotated[int | None, _size_or_nothing] = None
    request_encodings: Annotated[frozenset[str], _names_or_nothing] = frozenset()
    legacy_links_batch: Advertised = False
    lineage_readback: Advertised = False
    label_readback: Advertised = False
    receipts: Advertised = False


class Health(ReplyBody, frozen=True):
    """`GET /health`."""

    features: Annotated[Features, Features.read_or_nothing] = field(default_factory=Features)
