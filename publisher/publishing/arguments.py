"""The arguments of the Python API, and the orders that they make."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal, TypedDict

from roar_publisher.auth.choice import Flag
from roar_publisher.events import Event
from roar_publisher.publishing.order import Order, PutOrder
from roar_publisher.state.errors import UsageProblem

StrPath = str | os.PathLike[str]
Visibility = Literal["public", "private", "anonymous"]
OnProgress = Callable[[Event], object]


class RunArguments(TypedDict, total=False):
    """What every call that works on a publish takes."""

    registry: str | None
    yes: bool
    on_progress: OnProgress | None


class PublishArguments(RunArguments, total=False):
    """What `publish` takes besides its target and visibility."""

    redact: bool
    follow_links: bool
    verify: bool | None


class PutArguments(PublishArguments, total=False):
    """What `put` takes besides its files and visibility."""

    project: StrPath
    name: str | None
    tag: bool | None
    again: bool
    dataset: bool


def flag_of(visibility: Visibility | None) -> Flag:
    """Return the flag of a visibility; None leaves it to the repository. Raises UsageProblem for any other value."""
    if visibility is None:
        return Flag.NONE
    flag = Flag.__members__.get(str(visibility).upper())
    if flag is None or flag is Flag.NONE:
        raise UsageProblem(
            f"there is no visibility {visibility!r}",
            next_step="use 'public', 'private', 'anonymous', or None for the scope",
        )
    return flag


def folder_of(project: StrPath) -> Path:
    """Return the absolute folder of a project."""
    return Path(os.path.abspath(os.path.expanduser(project)))


def selections_of(files: str | Iterable[str]) -> tuple[str, ...]:
    """Return which files of a lineage are meant."""
    return (files,) if isinstance(files, str) else tuple(files)


def resume_order(publish_id: str, *, registry: str | None, yes: bool, detach: bool) -> Order:
    """Return the order that resumes a publish. Raises UsageProblem for an empty id."""
    if not publish_id:
        raise UsageProblem("the id of the publish is empty", next_step="take it from publishes()")
    return Order(cwd=Path("/"), flag=Flag.NONE, resume=publish_id, registry=registry, yes=yes, detach=detach)


def put_order(
    sources: StrPath | Iterable[StrPath] | None,
    destination: StrPath,
    message: str,
    *,
    name: str | None,
    tag: bool | None,
    again: bool,
    dataset: bool,
) -> PutOrder:
    """Return what is stored where. Raises UsageProblem for sources of which there are none: that is not all."""
    several = [sources] if isinstance(sources, str | os.PathLike) else sources
    named = tuple(os.fspath(source) for source in several or ())
    if several is not None and not named:
        raise UsageProblem(
            "the list of sources is empty, perhaps because a pattern matched nothing",
            next_step="name a file or a folder, or pass None to store all that the active session wrote",
        )
    return PutOrder(
        sources=named,
        destination=os.fspath(destination),
        message=message,
        name=name,
        tag=tag,
        again=again,
        dataset=dataset,
    )
