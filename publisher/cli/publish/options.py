"""The options of a `publish` or `put` command line, as `parameters.py` declares them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.publishing.order import Order, PutOrder, check_texts
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.limits import DEFAULT_LIMITS, TransferLimits

if TYPE_CHECKING:
    from pathlib import Path

    from roar_publisher.auth.choice import Flag


class Options(Struct, frozen=True, kw_only=True):
    """One `publish` or `put` command line.

    resume, watch: the beginning of an id; "" for the newest publish of the project; None if the option is not given.
    put: the files to store; None for lineage only.

    Raises UsageProblem if options contradict each other or a value is empty.
    """

    target: str | None = None
    public: bool = False
    private: bool = False
    anonymous: bool = False
    yes: bool = False
    dry_run: bool = False
    resume: str | None = None
    detach: bool = False
    watch: str | None = None
    registry: str | None = None
    no_redact: bool = False
    follow_links: bool = False
    limits: TransferLimits = DEFAULT_LIMITS
    verify: bool | None = None
    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    put: PutOrder | None = None

    def __post_init__(self) -> None:
        check_texts(self.target, self.registry, self.put)
        if self.private and (self.public or self.anonymous):
            raise UsageProblem("--private contradicts --public and --anonymous", next_step="leave one of them out")
        if self.quiet and self.verbose:
            raise UsageProblem("-q and -v contradict each other", next_step="leave one of them out")
        if self.resume is not None:
            _reject_with("--resume", {"--dry-run": self.dry_run})
        if self.watch is not None:
            others = {"--dry-run": self.dry_run, "--resume": self.resume is not None, "--detach": self.detach}
            _reject_with("--watch", others)
        if self.detach:
            _reject_with("--detach", {"--dry-run": self.dry_run})

    def order(self, cwd: "Path") -> Order:
        """Return what is to be published. cwd: the current folder. Raises UsageProblem for an ambiguous source."""
        put = self.put
        if put is not None and put.sources:
            from roar_publisher.cli.publish.sources import from_root

            put = replace(put, sources=from_root(put.sources, cwd))
        return Order(
            cwd=cwd,
            flag=self.flag,
            target=self.target,
            yes=self.yes,
            resume=self.resume,
            detach=self.detach,
            registry=self.registry,
            no_redact=self.no_redact,
            follow_links=self.follow_links,
            limits=self.limits,
            verify=self.verify,
            put=put,
        )

    @property
    def flag(self) -> "Flag":
        """The visibility that was typed."""
        from roar_publisher.auth.choice import Flag

        if self.anonymous:
            return Flag.ANONYMOUS
        if self.private:
            return Flag.PRIVATE
        return Flag.PUBLIC if self.public else Flag.NONE


def _reject_with(option_name: str, others: Mapping[str, bool]) -> None:
    """Reject options that contradict `option_name`."""
    for name, present in others.items():
        if present:
            raise UsageProblem(f"{option_name} does not go with {name}", next_step="leave one of them out")
