"""What a test's user may send to a registry: everything, as if the address were typed."""

from pathlib import Path

from roar_publisher.auth.send_policy import SendPolicy
from roar_publisher.auth.trust import TrustStore
from roar_publisher.lineage.config import DEFAULT_REGISTRY
from tests.support.lineages import REGISTRY


def policy_for(registry: str = REGISTRY, *, home: Path, named_by_user: bool = True, configured: str = "") -> SendPolicy:
    """Return the policy for a registry. configured: the user's own registry; by default the same one."""
    trust = TrustStore(home / ".config" / "roar" / "registries.json")
    return SendPolicy(
        registry, named_by_user=named_by_user, configured=configured or registry, default=DEFAULT_REGISTRY, trust=trust
    )
