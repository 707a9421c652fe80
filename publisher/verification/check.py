"""Compare a published lineage with the hash that it is published under, and with the plan that published it."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.blocking import end_if_cancelled, in_thread
from roar_publisher.glaas.client import ANONYMOUS, Authorizer, Refused, RegistryClient
from roar_publisher.glaas.features import Features
from roar_publisher.lineage.canonical import LineageHasher
from roar_publisher.state.errors import Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.verification.differences import LINEAGE, Difference, UnmatchedJobs, job_differences, unmatched
from roar_publisher.verification.errors import CannotCheck
from roar_publisher.verification.labels import LabelCheck, compare_labels
from roar_publisher.verification.planned import PlannedLineage, plan_into
from roar_publisher.verification.reading import Envelope, OnJob, ignore_job, read_into, require_readback
from roar_publisher.verification.texts import JobText, SortedJobs

SignIn = Callable[[], Awaitable[Authorizer | None]]
"""Returns the user's credential, or None without one."""


class Verification(Struct, frozen=True):
    """The result of a check. It is proven if there are no differences.

    computed: the hash of what the registry serves. labels: None without a plan to compare them with.
    omitted: differing jobs and labels that were not compared.
    """

    hash: str
    computed: str
    served: Envelope
    differences: tuple[Difference, ...]
    labels: LabelCheck | None = None
    omitted: int = 0

    @property
    def proven(self) -> bool:
        """Whether the registry serves exactly what the hash stands for."""
        return not self.differences and not self.omitted


async def verify_lineage(
    client: RegistryClient,
    lineage_hash: str,
    sign_in: SignIn,
    planned: PlannedLineage | None = None,
    seen: OnJob = ignore_job,
) -> Verification:
    """Read a lineage back and compare it with its whole hash. With its plan, the differing jobs are named.

    seen: receives every job as it is served. A credential is used only if the lineage is not public. Memory grows with
    the largest job and, with a plan, with the number of its jobs, as it did in planning. Raises CannotCheck,
    LocalProblem, Interrupted, and NeedsUser for a credential that only the user can unlock.
    """
    with uncheckable():
        features = await require_readback(client)
        try:
            return await _verify(client, lineage_hash, ANONYMOUS, planned, features, seen)
        except Refused as refusal:
            if not refusal.may_hide:
                raise
            authorizer = await sign_in()
            if authorizer is None:
                what = "it is private, or it is not published there; you are not signed in"
                raise CannotCheck(what, next_step="sign in: roar login", reason=Reason.AUTH) from refusal
        return await _verify(client, lineage_hash, authorizer, planned, features, seen)


@contextmanager
def uncheckable() -> Iterator[None]:
    """Raise CannotCheck for what a registry refuses to say, and for a registry that stays away."""
    try:
        yield
    except Refused as refusal:
        reason = Reason.AUTH if refusal.may_hide else Reason.REJECTED
        raise CannotCheck(f"you cannot read it: {refusal.what}", reason=reason) from refusal
    except Transient as error:
        raise CannotCheck(error.what, next_step=error.next_step, reason=error.reason) from error


async def _verify(
    client: RegistryClient,
    lineage_hash: str,
    authorize: Authorizer,
    planned: PlannedLineage | None,
    features: Features,
    seen: OnJob,
) -> Verification:
    verdict = await _verify_jobs(client, lineage_hash, authorize, planned, seen)
    if planned is None:
        return verdict
    labels = await compare_labels(client, lineage_hash, authorize, planned, served=features.label_readback)
    return replace(
        verdict,
        labels=labels,
        differences=verdict.differences + labels.differences,
        omitted=verdict.omitted + labels.omitted,
    )


async def _verify_jobs(
    client: RegistryClient, lineage_hash: str, authorize: Authorizer, planned: PlannedLineage | None, seen: OnJob
) -> Verification:
    with SortedJobs() as theirs, SortedJobs() as ours:
        served = await read_into(client, lineage_hash, authorize, theirs, seen)
        hasher = LineageHasher(served.git["repo"], served.git["commit"], served.git["branch"], [served.creator])
        # What was published before with other redactions is another lineage than the one that is planned.
        comparable = planned is not None and (lineage_hash in planned.hashes or not served.finalized)
        found = await in_thread(_compare, planned if comparable else None, ours, theirs, hasher)
    computed = hasher.digests()[served.creator]
    if lineage_hash == computed == served.hash:
        return Verification(lineage_hash, computed, served, ())
    if not served.finalized and not comparable:
        what = "it was published without a registration session, so the registry did not compute its hash"
        raise CannotCheck(what, next_step="where it was published: roar verify ID", reason=Reason.REJECTED)
    differences = _hash_differences(lineage_hash, computed, served)
    if planned is not None and comparable:
        differences += _envelope_differences(planned, served) + job_differences(found)
    return Verification(lineage_hash, computed, served, tuple(differences), omitted=found.omitted)


def _compare(
    planned: PlannedLineage | None, ours: SortedJobs, theirs: SortedJobs, hasher: LineageHasher
) -> UnmatchedJobs:
    """Hash the jobs that are served, and return those that only they or the plan have. Blocks, maybe for a minute."""
    if planned is None:
        deque(_hashed(theirs, hasher), maxlen=0)
        return UnmatchedJobs()
    plan_into(planned.journal, ours)
    return unmatched(ours.sorted(), _hashed(theirs, hasher))


def _hashed(jobs: SortedJobs, hasher: LineageHasher) -> Iterator[JobText]:
    for job in jobs.sorted():
        end_if_cancelled()
        hasher.add(job.text)
        yield job


def _hash_differences(lineage_hash: str, computed: str, served: Envelope) -> list[Difference]:
    """Return how the hashes differ. That of a legacy lineage may cover what was redacted: it is not compared."""
    found = {"name of the hash": served.hash} | ({"hash": computed} if served.finalized else {})
    return [Difference(LINEAGE, name, lineage_hash, theirs) for name, theirs in found.items() if theirs != lineage_hash]


def _envelope_differences(planned: PlannedLineage, served: Envelope) -> list[Difference]:
    plan, identity = planned.plan, planned.progress.identity
    pairs: dict[str, tuple[str | None, str | None]] = {
        "git.repo": (plan.git_repo, served.git["repo"]),
        "git.commit": (plan.git_commit, served.git["commit"]),
        "git.branch": (plan.git_branch, served.git["branch"]),
    }
    if served.finalized and identity is not None and identity in plan.published:
        pairs["creator_identity"] = (identity, served.creator)
    pairs = {
        name: ((ours or "").strip() or None, (theirs or "").strip() or None) for name, (ours, theirs) in pairs.items()
    }
    return [Difference(LINEAGE, name, ours, theirs) for name, (ours, theirs) in pairs.items() if ours != theirs]
