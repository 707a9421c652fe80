"""The index of a registry whose background tasks do not run."""

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.indexing import index_slice


def index_all(store: Store) -> int:
    """Index every lineage. Return the number of slices."""
    slices = 0
    while store.write(index_slice):
        slices += 1
    return slices
