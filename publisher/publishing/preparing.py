"""Prepares a new publish before its plan is frozen: identities, the files of a put, and the user's consent."""

import time
from functools import partial

import anyio
from msgspec import Struct

from roar_publisher.auth.identity_cache import IdentityCache
from roar_publisher.auth.keyring import Keyring
from roar_publisher.planning.candidates import candidate_identities
from roar_publisher.planning.plans import Planner, PublishRequest
from roar_publisher.publishing.consent import Consent
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.order import Order
from roar_publisher.publishing.request import possible_choices, put_request, require_publishable
from roar_publisher.state.errors import Conclusion, Interrupted, Transient
from roar_publisher.state.paths import StateFolder
from roar_publisher.tasks import until_stopped


class Prepared(Struct, frozen=True):
    """The result of a preparation.

    planner: of a put; None for lineage only. agreed: consent to a publish without a named owner, given before
    detaching.
    """

    identities: list[str]
    planner: Planner | None
    agreed: bool


class Preparation(Struct, frozen=True):
    """The preparation of one request."""

    request: PublishRequest
    order: Order
    keyring: Keyring
    folder: StateFolder
    observer: PublishObserver
    consent: Consent

    async def run(self, stop: anyio.Event) -> Prepared:
        """Prepare the request.

        Raises NeedsUser if it cannot be published at all, what the sources of a put raise, or Interrupted.
        """
        try:
            return await until_stopped(stop, partial(self._prepare, stop))
        except Interrupted as stopped:
            stopped.kept = stopped.kept or "Nothing was sent or kept."
            raise

    async def _prepare(self, stop: anyio.Event) -> Prepared:
        await require_publishable(self.request, self.keyring)
        agreed = await self._agreed(stop) if self.order.detach else self.order.yes
        planner = await self._planner()
        return Prepared(await self._identities(), planner, agreed)

    async def _identities(self) -> list[str]:
        """Return the identities that the lineage may name.

        If only the registry knows them and it is unreachable, there is nothing to resume.
        """
        try:
            return await candidate_identities(
                self.request,
                self.keyring,
                report=self.observer.report,
                known=IdentityCache(self.folder.identities),
                ask_if_known=not self.order.detach,
            )
        except Transient as away:
            away.conclusion = Conclusion.FAILED
            away.kept = "Nothing was sent or kept, because only the registry knows whom the credential names."
            away.next_step = away.next_step or "repeat the command when the registry answers, or add --registry URL"
            raise

    async def _agreed(self, stop: anyio.Event) -> bool:
        """Ask now for any consent that the daemon may need, because the daemon cannot ask."""
        from roar_publisher.publishing.detaching import choice_needing_consent, require_consent

        choices = possible_choices(self.request, await self.keyring.available(self.request.flag, self.request.scope))
        asked = choice_needing_consent(choices)
        agreed = self.order.yes or (asked is not None and await self.consent.confirm(asked, stop))
        if not agreed:
            require_consent(choices, self.consent.how)
        return agreed

    async def _planner(self) -> Planner | None:
        if self.order.put is None:
            return None
        from roar_publisher.planning.put.prepare import put_planner

        wanted = put_request(self.order.put, self.request, follow_links=self.order.follow_links)
        return await put_planner(wanted, report=self.observer.report, clock=time.time)
