"""The path below which a registry is served: `/glaas`, if clients reach it as `https://host/glaas` through a proxy."""

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the options of `serve` are read before it is known whether the extra is installed
    from starlette.types import ASGIApp, Receive, Scope, Send

BASE_PATH: ContextVar[str] = ContextVar("base_path", default="")
"""The base path of the request that the current task serves; empty if there is none."""
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+")
_DOTS = re.compile(r"/\.{1,2}(/|$)")
OWN_NAMES = frozenset(
    {
        *("account", "api", "artifacts", "dag", "device", "healthz", "impact", "openapi.json", "owner", "project"),
        *("readyz", "repository", "search", "sign-in", "sign-out"),
    }
)
"""First parts of the registry's own paths."""


def base_path_of(text: str) -> str:
    """Return a base path without a slash at its end; empty for `/`. Raises ValueError if it cannot be one."""
    path = text.strip().rstrip("/")
    if path and (not _PATH.fullmatch(path) or _DOTS.search(path)):
        raise ValueError("it is not a path of letters, digits, dots, dashes and underscores")
    if path.split("/")[1:2] and path.split("/")[1] in OWN_NAMES:
        raise ValueError("it begins as one of the registry's own paths")
    return path


def path_below(scope: "Scope") -> str:
    """Return the path of a request below the base path."""
    return without_base(scope.get("root_path", ""), scope["path"])


def without_base(base: str, path: str) -> str:
    """Return a path without the base path before it. `/api` is not below `/a`."""
    return path[len(base) :] if _is_below(base, path) else path


class BasePath:
    """ASGI middleware that takes requests below a base path, and without it, because some proxies remove it."""

    def __init__(self, app: "ASGIApp", base: str) -> None:
        self._app = app
        self._base = base

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        scope["root_path"] = self._base
        scope["path"] = path if _is_below(self._base, path) else self._base + path
        token = BASE_PATH.set(self._base)
        try:
            await self._app(scope, receive, send)
        finally:
            BASE_PATH.reset(token)


def _is_below(base: str, path: str) -> bool:
    return path == base or path.startswith(f"{base}/")
