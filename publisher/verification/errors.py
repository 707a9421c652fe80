"""Why a lineage cannot be checked: neither proven nor disproven."""

from roar_publisher.state.errors import Conclusion, PublisherError


class CannotCheck(PublisherError):
    """The registry, or this machine, does not give what the check needs. `reason` says which."""

    conclusion = Conclusion.UNCHECKED
