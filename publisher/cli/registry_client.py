"""The client of a command that asks a registry a few things and ends, without a journal."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from roar_publisher.glaas.client import RegistryClient
from roar_publisher.net.connection import RegistryConnection


@asynccontextmanager
async def registry_client(registry: str, *, patience: float) -> AsyncIterator[RegistryClient]:
    """Yield a client with a connection of its own. patience: seconds to retry what fails for the moment."""
    async with RegistryConnection(registry, most_requests=1) as connection:
        yield RegistryClient(
            connection,
            patience=patience,
            rng=random.Random(),  # nosec B311  # jitter of waits, no secret
            clock=time.time,
            report=lambda report: None,
        )
