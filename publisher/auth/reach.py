"""What of this user may be sent to one registry: the lineage, a signature, a bearer.

The address of a registry may have come with a project or a bundle, from strangers.  So:

- Nothing goes to an origin that the user has not accepted: named himself (`--registry`, `GLAAS_URL`, his own
  configuration), or agreed to when a project named it (`registries`).  The default is accepted.  That holds for
  anonymous lineage too: commands, paths and the repository's address are the user's.  An SSH signature needs no more.
- `ROAR_ACCESS_TOKEN` goes only where the user himself named the address, now or when the publish was planned.  The
  default counts only where the user's own configuration names no other: the token may be for that.
- roar's sign-in goes to the origin that issued it, and to no other, whoever names that.

This machine itself is no exception: another user may listen on one of its ports.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from roar_publisher.auth.registries import Home, Registries
from roar_publisher.auth.signin import SignIn
from roar_publisher.net.address import origin, origin_of
from roar_publisher.state.errors import LocalProblem, NeedsPerson
from roar_publisher.state.reasons import Reason

_IDENTITY_SERVICE = "treqs"
"""Providers that begin so stand behind a registry's bearers (protocol.md §1): their issuer is no registry."""


@dataclass(frozen=True, slots=True)
class Barred:
    """why: a sentence.  mend: what a person can do about it."""

    why: str
    mend: str


class Reach:
    """Of one registry.

    registry: its address.  named: whether the user named it himself, or it is the default.  standing: the registry of
    the user's own configuration, else the default.  default: the public registry.  Origins alone count of the three.
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
        """Whether anything may be sent there.  Raises LocalProblem where that cannot be read."""
        return self._named or self.origin in self._known.read().accepted

    def check(self, publish_id: str = "", *, named_in: str = "a project or a bundle") -> None:
        """Raise NeedsPerson unless it is accepted.

        publish_id: of the publish that would go on there, if there is one.  named_in: what named the address.
        """
        if self.accepted:
            return
        again = f"roar publish --resume {publish_id}" if publish_id else "the same again"
        problem = NeedsPerson(
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
        """Why roar's sign-in is not sent there; None where it may be.  Raises LocalProblem as `accepted`."""
        home = self.home_of(sign_in)
        if home == self.origin:
            return None
        return Barred(
            f"roar's sign-in belongs to {home}, and is sent to no other registry.",
            f"sign in to {self.origin} (`roar login`); if it did issue the present sign-in: "
            f"roar registry trust {self.origin} --sign-in",
        )

    def home_of(self, sign_in: SignIn) -> str:
        """The origin that issued a sign-in: as recorded, else as its issuer says, else the user's own registry."""
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
        """Record that this registry issued a sign-in that `bars` nothing of.

        Where that cannot be written, the same is concluded the next time.
        """
        try:
            self._known.bind(Home(self.origin, sign_in.mark))
        except LocalProblem:
            return

    def is_to(self, address: str) -> bool:
        """Whether an address has this registry's origin."""
        return origin(address) == self.origin

    def __repr__(self) -> str:
        return f"Reach({urlsplit(self.registry).netloc!r})"
