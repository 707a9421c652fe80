"""The replies of a registry, as a client reads them (`protocol.md §2, §4`).

Unknown fields are ignored. Nearly every field may be absent, because servers differ in age. Fields are accepted in the
forms that `lenient` lists.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from roar_publisher.glaas import lenient
from roar_publisher.glaas.wire import Address


class ReplyBody(BaseModel):
    """The body of a success without its envelope (`protocol.md §2`). A null field counts as absent."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, body: object) -> object:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None}


ClaimedHash = Annotated[str, BeforeValidator(lenient.claimed_hash)]
"""The text in the place of a lineage hash. `steps.receipts` checks whether it is one."""
LenientBool = Annotated[bool, BeforeValidator(lenient.flag)]
OptionalCount = Annotated[int | None, BeforeValidator(lenient.stated_count)]
"""A number of items, or None if the server does not give it."""
OptionalText = Annotated[str | None, BeforeValidator(lenient.optional_text)]
"""A text that nothing depends on."""
_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)


def _address_or_nothing(value: object) -> str | None:
    try:
        return _ADDRESS.validate_python(value)
    except ValidationError:
        return None


ShownAddress = Annotated[Address | None, BeforeValidator(_address_or_nothing)]
"""Where a lineage is shown. A receipt is valid without it."""


class OpenReply(ReplyBody):
    """A registration session. The token is the only credential of an anonymous one.

    The id goes into paths and the token into a header, so neither may contain a delimiter of those.
    created: False if it existed before or the server does not say.
    """

    registration_session_id: Annotated[
        str, BeforeValidator(lenient.as_text), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,255}$")
    ]
    created: LenientBool = False
    status: Annotated[Literal["active", "closed"], BeforeValidator(lenient.session_status)] = "active"
    registration_session_token: (
        Annotated[str, BeforeValidator(lenient.as_text), Field(pattern=r"^([!-~]{1,4096})?$")] | None
    ) = None


class BatchReply(ReplyBody):
    """The result of a batch of any kind. Each endpoint fills in what applies to it.

    errors: as the server writes it; `not_accepted` interprets it. existing_binding_prepared: every job is registered
    already and prepared for the requested scope, which finalize applies.
    """

    errors: Any = None
    job_ids: Any = None
    created_count: OptionalCount = None
    existing_count: OptionalCount = None
    created: OptionalCount = None
    updated: OptionalCount = None
    existing: OptionalCount = None
    noops: OptionalCount = None
    unchanged: OptionalCount = None
    inputs_linked: OptionalCount = None
    outputs_linked: OptionalCount = None
    already_registered_session_hashes: Annotated[list[str], BeforeValidator(lenient.lineage_hashes)] = []
    existing_binding_prepared: LenientBool = False

    def not_accepted(self, items: int) -> list[lenient.NotAccepted]:
        """Return which of the `items` sent were not accepted."""
        return lenient.not_accepted(self.errors, items)


class AnyReply(RootModel[Any]):
    """Any JSON, for calls where the status alone is the answer."""


class MeReply(ReplyBody):
    """`GET /auth/me`: the owner of the credential."""

    model_config = ConfigDict(extra="allow")


class ContextUser(ReplyBody):
    """The user of an access context."""

    id: OptionalText = None
    sub: OptionalText = None
    username: OptionalText = None
    email: OptionalText = None


class AccessContextReply(ReplyBody):
    """`GET /auth/access-context`: the user behind a bearer."""

    user: ContextUser


class RefreshReply(ReplyBody):
    """`POST /auth/refresh`: new tokens. Its repr does not show them."""

    model_config = ConfigDict(extra="allow")

    def __repr__(self) -> str:
        return "RefreshReply(<secret>)"

    __str__ = __repr__


class Receipt(ReplyBody):
    """A published lineage as the registry reports it. `steps.receipts` compares it with what was sent.

    created: False if the hash was published before. visibility: the visibility that the registry set, or None if it
    does not say; a public lineage stays public. status, canonical_version, staged_counts: as the server writes them.
    """

    hash: ClaimedHash
    url: ShownAddress = None
    status: Any = None
    canonical_version: Any = None
    staged_counts: Any = None
    visibility: Annotated[str | None, BeforeValidator(lenient.visibility)] = None
    created: Annotated[bool, BeforeValidator(lenient.not_denied)] = True


class LegacySessionReply(ReplyBody):
    """A lineage that accepts legacy writes. hash: absent if the server does not repeat it."""

    hash: ClaimedHash | None = None
    url: ShownAddress = None
