"""Following a registry's pages: each names the next one, and none twice."""

from collections.abc import AsyncGenerator
from typing import TypeVar
from urllib.parse import quote

from roar_publisher.glaas.client import Authorizer, RegistryClient
from roar_publisher.glaas.replies import ReplyBody
from roar_publisher.state.reasons import Reason
from roar_publisher.verification.errors import CannotCheck


class PagedReply(ReplyBody, frozen=True):
    """A reply that is one page of many. next: the place after it; None at the end."""

    next: str | None


P = TypeVar("P", bound=PagedReply)


async def follow(client: RegistryClient, path: str, expect: type[P], authorize: Authorizer) -> AsyncGenerator[P, None]:
    """Yield the pages of `path`, one in memory at a time. Use it within `aclosing`, because a reader may stop early.

    Raises CannotCheck if a page leads back to an earlier one, and what `RegistryClient.call` raises.
    """
    after, seen = "", {""}
    while True:
        query = f"?after={quote(after, safe='')}" if after else ""
        page = await client.call("GET", f"{path}{query}", expect=expect, authorize=authorize)
        yield page
        if page.next is None:
            return
        if page.next in seen:
            raise CannotCheck("the registry serves the same pages again and again", reason=Reason.REJECTED)
        seen.add(page.next)
        after = page.next
