"""Features that registries of tests advertise."""

from roar_publisher.registry.api.app import ALL_FEATURES

SINGLE_LINKS = ALL_FEATURES.model_copy(update={"links_batch": False})
"""A registry that takes the links of one job and direction a request, as public GLaaS does."""
