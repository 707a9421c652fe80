"""Reads from a registry: without a credential first, and with this user's if that shows nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from roar_publisher.auth.choice import Decision, Flag, Key
from roar_publisher.auth.keyring import Keyring
from roar_publisher.auth.scope import RepoScope
from roar_publisher.engine.credentials import user_keyring
from roar_publisher.glaas.client import ANONYMOUS, HEALTH, Authorizer, Refused, RegistryClient
from roar_publisher.glaas.features import Health
from roar_publisher.glaas.opening import open_client
from roar_publisher.glaas.replies import DocumentReply
from roar_publisher.report import Reporter

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
"""How long to wait for a registry, or a store, that is unreachable."""
LOOKUPS = 16
"""The largest number of requests at once."""


@asynccontextmanager
async def lineage_reader(
    registry: str, intent: Mapping[str, Any], *, report: Reporter = lambda report: None
) -> AsyncIterator["LineageReader"]:
    """Yield a reader with a connection of its own.

    intent: the settings of the credentials for it, as in a plan. Raises NeedsUser if the user has not accepted the
    registry.
    """
    keyring = user_keyring(registry, intent)
    keyring.policy.check()
    async with open_client(registry, patience=PATIENCE_SECONDS, most_requests=LOOKUPS, report=report) as client:
        yield LineageReader(client, keyring)


class LineageReader:
    """Asks a registry. What is public is read without sending it any credential.

    authorizer: what later requests are sent with: nothing, or the credential that `find` needed.
    """

    def __init__(self, client: RegistryClient, keyring: Keyring) -> None:
        self.client = client
        self.authorizer: Authorizer = ANONYMOUS
        self._keyring = keyring

    async def find(self, question: Callable[[], Awaitable[T]]) -> T:
        """Return the answer to the first question; if it is refused, ask again with a credential, if there is one.

        question: calls `ask`, once or several times. Raises Refused.
        """
        try:
            return await question()
        except Refused as refusal:
            authorizer = await self.credential() if refusal.may_hide else None
            if authorizer is None:
                raise
        before, self.authorizer = self.authorizer, authorizer
        try:
            return await question()
        except Refused:
            self.authorizer = before
            raise

    async def ask(self, path: str) -> Mapping[str, Any]:
        """Return the JSON object in the reply to a GET. Raises Refused."""
        reply = await self.client.call("GET", path, expect=DocumentReply, authorize=self.authorizer)
        return reply.document

    async def serves_pages(self) -> bool:
        """Return whether the registry serves a lineage in pages (`lineage_readback`)."""
        return (await self.client.call("GET", HEALTH, expect=Health)).features.lineage_readback

    async def credential(self) -> Authorizer | None:
        """Return the user's credential; None if there is none that signs."""
        held = await self._keyring.available(Flag.PRIVATE, RepoScope())
        if held.bearer:
            return await self._keyring.authorizer(Decision.BEARER, self.client)
        if held.key in (Key.NAMED, Key.USUAL):
            return await self._keyring.authorizer(Decision.SSH, self.client)
        return None
