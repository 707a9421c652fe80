"""The options of a `publish` command line, validated."""

from collections.abc import Mapping
from dataclasses import dataclass

from roar_publisher.auth.choice import Flag
from roar_publisher.state.errors import UsageProblem

FILES = frozenset({"a source"})
"""The argument that names a file. The file name is checked when the file is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOptions:
    """What `roar put`, or `roar publish --to`, uploads, and how it is described.

    tag: True for `--tag`, False for `--no-tag`, None for neither. again: publish again even if the same put is
    finished.
    """

    sources: tuple[str, ...]
    destination: str
    message: str
    name: str | None = None
    dataset: bool = False
    tag: bool | None = None
    again: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One `publish` or `put` command line.

    resume: None for a new publish; otherwise the beginning of an id, or "" for the newest interrupted one.
    detach: leave it to the daemon.
    watch: like resume, for a publish that is only watched; "" is the newest live one.
    jobs: concurrent requests, to the registry as well as to an object store; None for the default.
    limit_rate: bytes per second to a store; None for no limit.
    no_redact: publish secrets unchanged.
    follow_links: also publish files that links lead to outside of the project.
    """

    target: str | None
    flag: Flag
    yes: bool
    dry_run: bool
    resume: str | None
    registry: str | None
    as_json: bool
    quiet: bool
    verbose: bool
    detach: bool = False
    watch: str | None = None
    put: PutOptions | None = None
    jobs: int | None = None
    limit_rate: int | None = None
    no_redact: bool = False
    follow_links: bool = False

    @classmethod
    def from_command_line(
        cls,
        *,
        target: str | None,
        public: bool,
        private: bool,
        anonymous: bool,
        yes: bool,
        dry_run: bool,
        resume: str | None,
        registry: str | None,
        as_json: bool,
        quiet: bool,
        verbose: bool,
        detach: bool = False,
        watch: str | None = None,
        put: PutOptions | None = None,
        jobs: int | None = None,
        limit_rate: int | None = None,
        no_redact: bool = False,
        follow_links: bool = False,
    ) -> "Options":
        """Return the options. Raises UsageProblem if options contradict each other or a value is empty."""
        _refuse_unusable(target, registry, put)
        if private and (public or anonymous):
            raise UsageProblem("--private contradicts --public and --anonymous", next_step="leave one of them out")
        if quiet and verbose:
            raise UsageProblem("-q and -v contradict each other", next_step="leave one of them out")
        flag = _flag(public=public, private=private, anonymous=anonymous)
        if resume is not None:
            _refuse_with("--resume", {"--dry-run": dry_run})
        if watch is not None:
            _refuse_with("--watch", {"--dry-run": dry_run, "--resume": resume is not None, "--detach": detach})
        if detach:
            _refuse_with("--detach", {"--dry-run": dry_run})
        return cls(
            target=target,
            flag=flag,
            yes=yes,
            dry_run=dry_run,
            resume=resume,
            registry=registry,
            as_json=as_json,
            quiet=quiet,
            verbose=verbose,
            detach=detach,
            watch=watch,
            put=put,
            jobs=jobs,
            limit_rate=limit_rate,
            no_redact=no_redact,
            follow_links=follow_links,
        )

    @classmethod
    def resuming(cls, publish_id: str, *, as_json: bool) -> "Options":
        """Return the options of `roar publish --resume ID`."""
        return cls(
            target=None,
            flag=Flag.NONE,
            yes=False,
            dry_run=False,
            resume=publish_id,
            registry=None,
            as_json=as_json,
            quiet=False,
            verbose=False,
        )


def _flag(*, public: bool, private: bool, anonymous: bool) -> Flag:
    if anonymous:
        return Flag.ANONYMOUS
    if private:
        return Flag.PRIVATE
    return Flag.PUBLIC if public else Flag.NONE


def _is_text(value: str) -> bool:
    """Return whether the value can be encoded in UTF-8. Invalid bytes on the command line become lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _refuse_unusable(target: str | None, registry: str | None, put: PutOptions | None) -> None:
    """Refuse empty values, as from a script's unset variable, and values that are not text.

    An empty value taken for "not given" would publish more, or elsewhere. A journal can only hold text.
    """
    given = [("the target", target), ("--registry", registry)]
    if put is not None:
        given += [("a source", source) for source in put.sources]
        given += [("the destination", put.destination), ("-m", put.message)]
    for name, value in given:
        if value is not None and not value.strip():
            raise UsageProblem(f"{name} is empty", next_step="give it a value, or leave it out")
        if value is not None and name not in FILES and not _is_text(value):
            raise UsageProblem(
                f"{name} is not valid UTF-8", next_step="type it in UTF-8; a file may be named by its step"
            )


def _refuse_with(option: str, others: Mapping[str, bool]) -> None:
    """Refuse options that contradict `option`."""
    for name, present in others.items():
        if present:
            raise UsageProblem(f"{option} does not go with {name}", next_step="leave one of them out")
