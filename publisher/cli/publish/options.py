"""The options of a `publish` or `put` command line. Each field declares its option (`cli.parameters`)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from roar_publisher.cli.ids import complete_file, complete_live
from roar_publisher.cli.parameters import option
from roar_publisher.publishing.order import Order, PutOrder, check_texts
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.limits import TransferLimits

if TYPE_CHECKING:
    from pathlib import Path

    from roar_publisher.auth.choice import Flag


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOptions(PutOrder):
    """What `roar put`, or `roar publish --to`, uploads, and how it is described."""

    message: str = option("-m", "--message", required=True, help="What this put is for; kept with it.")
    name: str | None = option("-n", "--name", metavar="NAME", help="The name label of the put job.")
    tag: bool | None = option(
        "--tag/--no-tag",
        help="Make the git tag roar/COMMIT and push it to the remote, or make none. Without either,"
        " [registration.tagging] decides whether it is made, and push_tags = true under [publisher] in your own"
        " config.toml pushes it.",
    )
    again: bool = option(
        "--again", is_flag=True, help="Make a new put job, even if the same put is under way or finished."
    )
    dataset: bool = option(
        "--dataset", is_flag=True, help="Treat each source folder as a dataset, even if nothing in it says so."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One `publish` or `put` command line.

    resume, watch: the beginning of an id; "" for the newest publish of the project; None if the option is not given.
    put: the files to store; None for lineage only.

    Raises UsageProblem if options contradict each other or a value is empty.
    """

    target: str | None = option(required=False, shell_complete=complete_file)
    public: bool = option(
        "--public",
        is_flag=True,
        help="Everyone may see it. Without --public and --private, the repository's scope decides.",
    )
    private: bool = option("--private", is_flag=True, help="Only you, or your project's members, may see it.")
    anonymous: bool = option("--anonymous", is_flag=True, help="Public, and sent without a credential.")
    yes: bool = option("-y", "--yes", is_flag=True, help="Ask nothing: accept redactions, and publishing anonymously.")
    dry_run: bool = option("--dry-run", is_flag=True, help="Show what would be stored and published; send nothing.")
    resume: str | None = option(
        "--resume",
        metavar="[ID]",
        is_flag=False,
        flag_value="",
        shell_complete=complete_live,
        help="Continue an interrupted publish; without ID, the newest of this project that matches the other options.",
    )
    detach: bool = option("--detach", is_flag=True, help="Plan it, leave it to the daemon, and return at once.")
    watch: str | None = option(
        "--watch",
        metavar="[ID]",
        is_flag=False,
        flag_value="",
        shell_complete=complete_live,
        help="Follow a publish that any process works on; Ctrl-C stops watching only. Without ID, the newest of this"
        " project.",
    )
    registry: str | None = option(
        "--registry", metavar="URL", help="Use this registry instead of GLAAS_URL or the project's [glaas] url."
    )
    no_redact: bool = option("--no-redact", is_flag=True, help="Publish secrets in commands and metadata unchanged.")
    follow_links: bool = option(
        "--follow-links", is_flag=True, help="Also publish files outside of the project that links lead to."
    )
    limits: TransferLimits = field(default_factory=TransferLimits)
    verify: bool | None = option(
        "--verify/--no-verify",
        help="Read everything back once it is published, and compare it; or do not. Without either, verify = true under"
        " [publisher] in your own config.toml decides.",
    )
    as_json: bool = option("--json", is_flag=True, help="Write one JSON object per line to stdout; see below.")
    quiet: bool = option("-q", "--quiet", is_flag=True, help="Print only the hash and the URL.")
    verbose: bool = option("-v", "--verbose", is_flag=True, help="Print a line for every event.")
    put: PutOptions | None = None

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
        """Return what is to be published. cwd: the current folder."""
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
            put=self.put,
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
