"""What a `publish` command line asks for, checked for sense."""

from collections.abc import Mapping
from dataclasses import dataclass

from roar_publisher.auth.choice import Flag
from roar_publisher.state.errors import UsageProblem

FILES = frozenset({"a source"})
"""What names a file: where it is read, its name is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOptions:
    """What `roar put`, or `roar publish --to`, uploads, and how it is told.

    tag: True for `--tag`, False for `--no-tag`, None for neither.  again: also where the same put is finished already.
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

    resume: None for a new publish; else the beginning of an id, or "" for the newest interrupted one.
    detach: leave it to the daemon.
    watch: as resume, for a publish that is only looked at; "" is the newest live one.
    jobs: requests at once, to the registry as well as to an object store.  limit_rate: bytes a second to a store.
    None: as it comes.
    no_redact: secrets are published as they stand.
    follow_links: what leads out of the project is published, too.
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
        """Raises UsageProblem where options contradict each other, or where one is given without a value."""
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
        """The options of `roar publish --resume ID`."""
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
    """Whether it can be written in UTF-8: bytes of the command line that are none come as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _refuse_unusable(target: str | None, registry: str | None, put: PutOptions | None) -> None:
    """Refuse what a script's unset variable leaves, and what is no text.

    Taken for "not given", an empty value would publish more, or elsewhere.  No journal holds what is no text.
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
                f"{name} is no UTF-8 text", next_step="type it in UTF-8; a file may be named by its step"
            )


def _refuse_with(option: str, others: Mapping[str, bool]) -> None:
    """Refuse beside `option` what contradicts it."""
    for name, present in others.items():
        if present:
            raise UsageProblem(f"{option} does not go with {name}", next_step="leave one of them out")
