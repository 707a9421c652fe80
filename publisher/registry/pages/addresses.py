"""Addresses of the registry's pages. Their parts are untrusted, and are quoted here."""

from urllib.parse import quote, urlencode

from roar_publisher.registry.http.base_path import BASE_PATH


def own_address(path: str) -> str:
    """Return the address of a path of this registry."""
    return BASE_PATH.get() + path


def lineage_address(lineage_hash: str, **query: object) -> str:
    """Return the address of a lineage's page."""
    return _with_query(f"/dag/{quote(lineage_hash, safe='')}", query)


def job_address(lineage_hash: str, uid: str, **query: object) -> str:
    """Return the address of a job's page."""
    return _with_query(f"/dag/{quote(lineage_hash, safe='')}/jobs/{quote(uid, safe='')}", query)


def artifact_address(digest: str, **query: object) -> str:
    """Return the address of an artifact's page."""
    return _with_query(f"/artifacts/{quote(digest, safe='')}", query)


def impact_address(digest: str, **query: object) -> str:
    """Return the address of the page of what descends from an artifact."""
    return _with_query("/impact", {"digest": digest, **query})


def list_address(kind: str | None, value: str, **query: object) -> str:
    """Return the address of a list of lineages: of a `repository`, an `owner`, a `project`, or all (None)."""
    return _with_query("/" if kind is None else f"/{kind}", {**({} if kind is None else {"name": value}), **query})


def sign_in_address(after: str) -> str:
    """Return the address of the page for signing in, from which the browser goes on to `after`, below the base path."""
    return _with_query("/sign-in", {"next": after})


def _with_query(path: str, query: dict[str, object]) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    address = own_address(path)
    return f"{address}?{urlencode(given)}" if given else address
