"""What of this user's data may be sent to one registry: the lineage, a signature, a bearer.

A registry's address may come from a project or a bundle, and so from a stranger. Therefore:

- Nothing is sent to an origin that the user has not accepted. The user accepts an origin by naming it (`--registry`,
  `GLAAS_URL`, the user's own configuration) or by agreeing when a project names it (`trust`). The default registry is
  accepted. This includes anonymous lineage: commands, paths and the repository's address are the user's. An SSH
  signature needs no more.
- `ROAR_ACCESS_TOKEN` is sent only where the user named the address, now or when the publish was planned. The default
  registry has to be named, too: the token may be for another one, whose address was forgotten.
- roar's sign-in is sent only to the origin that issued it, whatever names another one.

Loopback addresses are no exception: another user may listen on one of this machine's ports.
"""

from urllib.parse import urlsplit

from msgspec import Struct

from roar_publisher.auth.signin import SignIn
from roar_publisher.auth.trust import Issuer, TrustStore
from roar_publisher.net.address import origin, origin_of
from roar_publisher.state.errors import LocalProblem, NeedsUser
from roar_publisher.state.reasons import Reason

_IDENTITY_SERVICE = "treqs"
"""Prefix of the providers that issue bearers for registries (protocol.md §1). Their issuer is not a registry."""


class Denied(Struct, frozen=True):
    """Why a credential is not sent, as a sentence, and what the user can do about it."""

    why: str
    remedy: str


class SendPolicy:
    """What may be sent to one registry.

    registry: its address.
    named_by_user: whether the user named it. It is known of a `configured` one, if that is not the default.
    was_default: whether it was the default when a publish was planned, perhaps before the user configured another one.
    That accepts it for the lineage, and not for a token.
    configured: the registry of the user's configuration, or the default.
    default: the public registry.
    Only the origins of the three addresses count.
    """

    def __init__(
        self,
        registry: str,
        *,
        named_by_user: bool,
        configured: str,
        default: str,
        trust: TrustStore,
        was_default: bool = False,
    ) -> None:
        self.registry = registry
        self.origin = origin(registry)
        self._configured = origin(configured)
        self._default = origin(default)
        self._named_by_user = named_by_user or self.origin == self._configured != self._default
        self._was_default = was_default
        self._trust = trust

    @property
    def accepted(self) -> bool:
        """Whether anything may be sent to the registry. Raises LocalProblem if the trust store cannot be read."""
        known = self._named_by_user or self._was_default or self.origin == self._default
        return known or self.origin in self._trust.read().accepted

    def check(self, publish_id: str = "", *, named_in: str = "a project or a bundle") -> None:
        """Raise NeedsUser unless the registry is accepted.

        publish_id: of the publish that would continue there, if there is one.
        named_in: what named the address.
        """
        if self.accepted:
            return
        again = f"roar publish --resume {publish_id}" if publish_id else "the same again"
        problem = NeedsUser(
            f"{named_in} names the registry {self.origin}, which you have not accepted yet",
            kept="What it acknowledged is kept." if publish_id else "Nothing was sent or kept.",
            next_step=f"roar registry trust {self.origin}, then {again}; or {again} with --registry {self.registry}",
            reason=Reason.UNTRUSTED_REGISTRY,
        )
        problem.publish_id = publish_id
        raise problem

    def why_token_denied(self) -> Denied | None:
        """Return why `ROAR_ACCESS_TOKEN` must not be sent to the registry, or None if it may be."""
        if self._named_by_user:
            return None
        return Denied(
            f"ROAR_ACCESS_TOKEN is not sent to {self.origin}, because you did not specify that address.",
            f"if the token is for that registry, say so with --registry {self.registry} or GLAAS_URL={self.registry}",
        )

    def why_sign_in_denied(self, sign_in: SignIn) -> Denied | None:
        """Return why roar's sign-in must not be sent to the registry, or None if it may be. Raises as `accepted`."""
        issuer = self.issuer_of(sign_in)
        if issuer == self.origin:
            return None
        return Denied(
            f"roar's sign-in belongs to {issuer}, and is sent to no other registry.",
            f"sign in to {self.origin} (`roar login`); if it did issue the current sign-in: "
            f"roar registry trust {self.origin} --sign-in",
        )

    def issuer_of(self, sign_in: SignIn) -> str:
        """Return the origin that issued a sign-in: as recorded, or as its issuer says, or the configured registry."""
        trust = self._trust.read()
        if trust.issuer is not None and trust.issuer.sign_in == sign_in.digest:
            return trust.issuer.origin
        issuer = origin_of(sign_in.issuer)
        if issuer is None:
            return self._configured
        if issuer in (self.origin, self._configured, *trust.accepted):
            return issuer
        if self._configured == self._default and sign_in.provider.lower().startswith(_IDENTITY_SERVICE):
            return self._default
        return issuer

    def record_issuer(self, sign_in: SignIn) -> None:
        """Record that this registry issued a sign-in that may be sent to it.

        If that cannot be written, the next run concludes the same.
        """
        try:
            self._trust.record_issuer(Issuer(self.origin, sign_in.digest))
        except LocalProblem:
            return

    def applies_to(self, address: str) -> bool:
        """Return whether an address has this registry's origin."""
        return origin(address) == self.origin

    def __repr__(self) -> str:
        return f"SendPolicy({urlsplit(self.registry).netloc!r})"
