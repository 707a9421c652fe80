"""The client of a command that asks a registry a few things and ends, without a journal."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from roar_publisher.glaas.client import RegistryClient
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.report import Reporter


@asynccontextmanager
async def open_client(
    registry: str, *, patience: float, most_requests: int = 1, report: Reporter = lambda report: None
) -> AsyncIterator[RegistryClient]:
    """Yield a client with a connection of its own.

    patience: seconds to retry what fails for the moment. most_requests: concurrent ones. report: receives every wait.
    """
    async with RegistryConnection(registry, most_requests=most_requests) as connection:
        yield RegistryClient(
            connection,
            patience=patience,
            rng=random.Random(),  # nosec B311  # jitter of waits, no secret
            clock=time.time,
            report=report,
        )
