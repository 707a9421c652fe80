"""What of this user's data may be sent to one registry: the lineage, a signature, a bearer.

A registry's address may come from a project or a bundle, and so from a stranger. Therefore:

- Nothing goes to an origin that the user has not accepted: named himself (`--registry`, `GLAAS_URL`, his own
  configuration), or agreed to when a project named it (`registries`).  The default is accepted.  That holds for
  anonymous lineage too: commands, paths and the repository's address are the user's.  An SSH signature needs no more.
- `ROAR_ACCESS_TOKEN` goes only where the user himself named the address, now or when the publish was planned.  The
  default counts only where the user's own configuration names no other: the token may be for that.
- roar's sign-in goes to the origin that issued it, and to no other, whoever names that.

Loopback addresses are no exception: another user may listen on one of this machine's ports.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from roar_publisher.auth.registries import Home, Registries
from roar_publisher.auth.signin import SignIn
from roar_publisher.net.address import origin, origin_of
from roar_publisher.state.errors import LocalProblem, NeedsUser
from roar_publisher.state.reasons import Reason

_IDENTITY_SERVICE = "treqs"
"""Prefix of the providers that issue bearers for registries (protocol.md §1). Their issuer is not a registry."""


@dataclass(frozen=True, slots=True)
class Barred:
    """why: a sentence. mend: what the user can do about it."""

    why: str
    mend: str


class Reach:
    """What may be sent to one registry.

    registry: its address.
    named: whether the user named it.
    standing: the registry of the user's configuration, or the default.
    default: the public registry.
    Only the origins of the three addresses count.
    """

    def __init__(self, registry: str, *, named: bool, standing: str, default: str, known: Registries) -> None:
        self.registry = registry
        self.origin = origin(registry)
        self._standing = origin(standing)
        self._default = origin(default)
        self._users_word = named or self.origin == self._standing
        self._named = self._users_word or self.origin == self._default
        self._known = known

    @property
    def accepted(self) -> bool:
        """Whether anything may be sent to the registry. Raises LocalProblem if `registries` cannot be read."""
        return self._named or self.origin in self._known.read().accepted

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
            kept="What it acknowledged is kept." if publish_id else "Nothing was sent, nothing was kept.",
            next_step=f"roar registry trust {self.origin}, then {again}; or {again} with --registry {self.registry}",
            reason=Reason.UNTRUSTED_REGISTRY,
        )
        problem.publish_id = publish_id
        raise problem

    def bars_token(self) -> Barred | None:
        """Why `ROAR_ACCESS_TOKEN` is not sent there; None where it may be."""
        if self._users_word:
            return None
        return Barred(
            f"ROAR_ACCESS_TOKEN is not sent to {self.origin}, whose address is not your own word.",
            f"if the token is for that registry, say so with --registry {self.registry} or GLAAS_URL={self.registry}",
        )

    def bars(self, sign_in: SignIn) -> Barred | None:
        """Return why roar's sign-in must not be sent to the registry, or None if it may be. Raises as `accepted`."""
        home = self.home_of(sign_in)
        if home == self.origin:
            return None
        return Barred(
            f"roar's sign-in belongs to {home}, and is sent to no other registry.",
            f"sign in to {self.origin} (`roar login`); if it did issue the present sign-in: "
            f"roar registry trust {self.origin} --sign-in",
        )

    def home_of(self, sign_in: SignIn) -> str:
        """Return the origin that issued a sign-in: as recorded, or as its issuer says, or the user's own registry."""
        known = self._known.read()
        if known.home is not None and known.home.of == sign_in.mark:
            return known.home.origin
        issuer = origin_of(sign_in.issuer)
        if issuer is None:
            return self._standing
        if issuer in (self.origin, self._standing, *known.accepted):
            return issuer
        if self._standing == self._default and sign_in.provider.lower().startswith(_IDENTITY_SERVICE):
            return self._default
        return issuer

    def bind(self, sign_in: SignIn) -> None:
        """Record that this registry issued a sign-in that `bars` allows.

        If that cannot be written, the next run concludes the same.
        """
        try:
            self._known.bind(Home(self.origin, sign_in.mark))
        except LocalProblem:
            return

    def is_to(self, address: str) -> bool:
        """Return whether an address has this registry's origin."""
        return origin(address) == self.origin

    def __repr__(self) -> str:
        return f"Reach({urlsplit(self.registry).netloc!r})"
