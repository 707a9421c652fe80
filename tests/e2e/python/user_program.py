"""A user's program, for type checkers: mypy --strict and pyright accept every line, and infer these types."""

from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import assert_type

import roar_publisher
from roar_publisher import CheckpointPublisher, CheckpointStatus, Published, PublishStatus, aio, errors, events


def synchronous(folder: Path, detached: bool) -> None:
    assert_type(roar_publisher.publish(folder, visibility="public", yes=True, redact=False), Published)
    assert_type(roar_publisher.publish(visibility=None, detach=True, on_progress=print), PublishStatus)
    assert_type(roar_publisher.publish(visibility=None, detach=detached), Published | PublishStatus)
    assert_type(roar_publisher.put([folder, "@4"], "s3://bucket/run", "v1", visibility="private"), Published)
    assert_type(roar_publisher.put("a", folder, "v1", visibility=None, project=folder, detach=True), PublishStatus)
    assert_type(roar_publisher.resume("12345678", registry="https://registry.example"), Published)
    assert_type(roar_publisher.publishes(), list[PublishStatus])
    assert_type(roar_publisher.watch("12345678"), Iterator[events.Event])
    assert_type(roar_publisher.retry("12345678"), PublishStatus)
    roar_publisher.cancel("12345678")


def training(folder: Path) -> None:
    def count(skipped: CheckpointStatus) -> None:
        assert_type(skipped.step, int)

    with CheckpointPublisher(folder, visibility="public", every=50, keep=1, best="loss", on_skip=count) as checkpoints:
        assert_type(checkpoints.submit([folder], step=1, metrics={"loss": 0.5}, pin=True), CheckpointStatus | None)
        assert_type(checkpoints.close(wait=1), bool)
        assert_type(checkpoints.checkpoints(), list[CheckpointStatus])


async def asynchronous(detached: bool) -> None:
    assert_type(await aio.publish(visibility="anonymous"), Published)
    assert_type(await aio.put("a", "b", "c", visibility=None, detach=detached), Published | PublishStatus)
    assert_type(await aio.resume("12345678", detach=True), PublishStatus)
    assert_type(aio.watch("12345678"), AsyncGenerator[events.Event, None])


def text_of(event: events.Event) -> str:
    match event:
        case events.Published(url=url):
            return url or ""
        case events.ProgressEvent(done=done, total=total):
            return f"{done}/{total}"
        case _:
            return event.name


def explain(error: errors.PublisherError) -> tuple[str, str, str, str, str]:
    assert_type(error.reason, errors.Reason)
    return error.what, error.kept, error.next_step, error.reason, error.publish_id
