"""The optional dependencies: `pip install 'roar-publisher[s3]'` installs what s3:// destinations need."""

from importlib.util import find_spec

from roar_publisher.state.errors import UsageProblem

NEEDED = {
    "s3": ("botocore",),
    "gcs": ("google.auth", "requests"),
    "registry": ("h11", "prometheus_client", "starlette", "uvicorn"),
    "postgresql": ("psycopg",),
    "lightning": ("lightning",),
    "transformers": ("transformers", "accelerate"),
}
"""The packages of each extra, by their import names."""


def require(extra: str, purpose: str) -> None:
    """Raise UsageProblem, which names the extra to install, unless the packages of `extra` are installed.

    purpose: what needs them, as the subject of a sentence. Imports only a parent package (`google`), if any.
    """
    if not all(map(_installed, NEEDED[extra])):
        raise UsageProblem(
            f"{purpose} needs the {extra} extra, which is not installed",
            next_step=f"pip install 'roar-publisher[{extra}]'",
        )


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):  # its parent is missing, or its import was blocked
        return False
