"""Digests of artifacts in requests, which may be cut to their first digits."""

from roar_publisher.registry.api.service import RegistryService
from roar_publisher.registry.lineages.digest_search import begin_search, search_slice
from roar_publisher.registry.store.access import Reader


async def whole_digest(service: RegistryService, prefix: str, reader: Reader) -> str:
    """Return the digest that begins like this. Raises `Refusal` as `DigestSearch.result`."""
    search = await service.read(begin_search, prefix, reader)
    while not search.complete:
        await service.read(search_slice, search)
    return search.result()
