"""Features that registries of tests advertise."""

from msgspec.structs import replace

from roar_publisher.registry.api.app import ALL_BULK_FEATURES, ALL_FEATURES
from roar_publisher.registry.api.bulk import BulkFeatures

SMALL_REQUESTS = BulkFeatures(limit=None, encodings=(), legacy_links_batch=False)
"""A registry whose batches have the usual size, uncompressed, as with public GLaaS."""

SINGLE_LINKS = replace(ALL_FEATURES, links_batch=False)
"""A registry that takes the links of one job and direction a request, as public GLaaS does."""

PLAIN = (SINGLE_LINKS, SMALL_REQUESTS)
BULK = (ALL_FEATURES, ALL_BULK_FEATURES)
