"""The replies of a registry, as a client reads them (`protocol.md §2, §4`).

Unknown fields are ignored. Nearly every field may be absent, because servers differ in age. Fields are accepted in the
forms that `field_readers` lists. The replies are Structs whose types name their readers: pydantic, which the registry
uses, takes longer to import than a small publish has.
"""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Self

from msgspec import field
from msgspec.structs import FieldInfo, fields

from roar_publisher.glaas import acceptance, field_readers
from roar_publisher.guarded import Guarded

AsWritten = Annotated[Any, field_readers.unchanged]
ClaimedHash = Annotated[str, field_readers.required_claim]
"""The text in the place of a lineage hash. `steps.receipts` checks whether it is one."""
LenientBool = Annotated[bool, field_readers.flag]
OptionalCount = Annotated[int | None, field_readers.stated_count]
"""A number of items, or None if the server does not give it."""
OptionalText = Annotated[str | None, field_readers.optional_text]
"""A text that nothing depends on."""
ShownAddress = Annotated[str | None, field_readers.address]
"""Where a lineage is shown. A receipt is valid without it."""


@cache
def _fields(reply: type["ReplyBody"]) -> tuple[FieldInfo, ...]:
    return fields(reply)


class ReplyBody(Guarded, frozen=True):
    """The body of a success without its envelope (`protocol.md §2`). A null field counts as absent.

    A field's type is `Annotated` with its reader, which returns the value in a form of the field's type, or raises
    Unreadable.
    """

    @classmethod
    def read(cls, body: object) -> Self:
        """Return the reply in a JSON document. Raises Unreadable if it is not this reply."""
        if not isinstance(body, dict):
            raise field_readers.Unreadable("not an object")
        found = {}
        for each in _fields(cls):
            value = body.get(each.name)
            if value is not None:
                (reader,) = each.type.__metadata__  # every type is annotated
                found[each.name] = reader(value)
            elif each.required:
                raise field_readers.Unreadable(f"without {each.name}")
        return cls(**found)


class OpenReply(ReplyBody, frozen=True):
    """A registration session. The token is the only credential of an anonymous one.

    The id goes into paths and the token into a header, so neither may contain a delimiter of those.
    created: False if it existed before or the server does not say. status: `active` or `closed`.
    """

    HIDDEN = ("registration_session_token",)

    registration_session_id: Annotated[str, field_readers.session_id]
    created: LenientBool = False
    status: Annotated[str, field_readers.session_status] = "active"
    registration_session_token: Annotated[str | None, field_readers.session_token] = None


class BatchReply(ReplyBody, frozen=True):
    """The result of a batch of any kind. Each endpoint fills in what applies to it.

    errors: as the server writes it; `not_accepted` interprets it. existing_binding_prepared: every job is registered
    already and prepared for the requested scope, which finalize applies.
    """

    errors: AsWritten = None
    job_ids: AsWritten = None
    created_count: OptionalCount = None
    existing_count: OptionalCount = None
    created: OptionalCount = None
    updated: OptionalCount = None
    existing: OptionalCount = None
    noops: OptionalCount = None
    unchanged: OptionalCount = None
    inputs_linked: OptionalCount = None
    outputs_linked: OptionalCount = None
    already_registered_session_hashes: Annotated[list[str], field_readers.lineage_hashes] = field(default_factory=list)
    existing_binding_prepared: LenientBool = False

    def not_accepted(self, items: int) -> list[acceptance.NotAccepted]:
        """Return which of the `items` sent were not accepted."""
        return acceptance.not_accepted(self.errors, items)


class AnyReply(ReplyBody, frozen=True):
    """Any JSON, for calls where the status alone is the answer."""

    @classmethod
    def read(cls, body: object) -> Self:
        return cls()


class DocumentReply(ReplyBody, frozen=True):
    """A reply whose fields are interpreted elsewhere."""

    document: Mapping[str, Any]

    @classmethod
    def read(cls, body: object) -> Self:
        if not isinstance(body, dict):
            raise field_readers.Unreadable("not an object")
        return cls({name: value for name, value in body.items() if value is not None})


class MeReply(DocumentReply, frozen=True):
    """`GET /auth/me`: the owner of the credential."""


class RefreshReply(DocumentReply, frozen=True):
    """`POST /auth/refresh`: new tokens."""

    HIDDEN = ("document",)


class ContextUser(ReplyBody, frozen=True):
    """The user of an access context."""

    id: OptionalText = None
    sub: OptionalText = None
    username: OptionalText = None
    email: OptionalText = None


class AccessContextReply(ReplyBody, frozen=True):
    """`GET /auth/access-context`: the user behind a bearer."""

    user: Annotated[ContextUser, ContextUser.read]


class Receipt(ReplyBody, frozen=True):
    """A published lineage as the registry reports it. `steps.receipts` compares it with what was sent.

    created: False if the hash was published before. visibility: the visibility that the registry set, or None if it
    does not say; a public lineage stays public. status, canonical_version, staged_counts: as the server writes them.
    """

    hash: ClaimedHash
    url: ShownAddress = None
    status: AsWritten = None
    canonical_version: AsWritten = None
    staged_counts: AsWritten = None
    visibility: Annotated[str | None, field_readers.visibility] = None
    created: Annotated[bool, field_readers.not_denied] = True


class LineageReply(ReplyBody, frozen=True):
    """A published lineage: where it is shown, and as what."""

    url: ShownAddress = None
    visibility: Annotated[str | None, field_readers.visibility] = None


class LegacySessionReply(ReplyBody, frozen=True):
    """A lineage that accepts legacy writes. hash: absent if the server does not repeat it."""

    hash: Annotated[str | None, field_readers.required_claim] = None
    url: ShownAddress = None
