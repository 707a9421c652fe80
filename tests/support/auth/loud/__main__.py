"""Our program, as it logs all that can be logged, from every library, to stderr and to `debug.log` in $TMPDIR.

With LOUD_DEFECT in the environment it has a defect, whose traceback shows what it has just sent and was answered.
"""

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import roar_publisher.net.retry
from roar_publisher import __main__ as program
from roar_publisher.net.exchange import Exchange

PAUSE_SECONDS = 0.01
"""Seconds between two attempts."""


def main() -> None:
    os.environ["PYTHONASYNCIODEBUG"] = "1"
    warnings.simplefilter("always")
    logging.basicConfig(level=logging.DEBUG, filename=Path(os.environ["TMPDIR"], "debug.log"))
    logging.getLogger().addHandler(logging.StreamHandler())
    setattr(roar_publisher.net.retry, "backoff", lambda attempt, rng: PAUSE_SECONDS)  # noqa: B010  it imports it
    if "LOUD_DEFECT" in os.environ:
        Exchange.send = _defective(Exchange.send)  # type: ignore[method-assign]
    program.main()


def _defective(send: Callable[..., Any]) -> Callable[..., Any]:
    async def broken(self: Exchange, method: str, path: str, body: bytes, authorization: str, **limits: Any) -> Any:
        reply = await send(self, method, path, body, authorization, **limits)
        if path.endswith("/finalize"):
            raise RuntimeError(f"{authorization} {body!r} {reply.headers}")
        return reply

    return broken


if __name__ == "__main__":
    main()
