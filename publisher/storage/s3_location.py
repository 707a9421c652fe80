"""The location of a bucket: the base URL of its keys, and the scope of its signatures."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from msgspec import Struct

from roar_publisher.net.address import is_loopback
from roar_publisher.state.errors import UsageProblem

UNRESERVED = "-._~"
PROBE_KEY = "k"
NEXT = "set {} to http(s)://host[:port], or unset it"
USUAL_REGION = re.compile(r"(?:af|ap|ca|cn|eu|il|me|mx|sa|us|us-gov)-[a-z]+-[0-9]+")
"""Regions of the partitions whose hosts end with `amazonaws.com` or `amazonaws.com.cn`."""
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
DIRECTORY_SUFFIXES = ("--x-s3", "--xa-s3")
"""End the names of directory buckets and of their access points."""
Locate = Callable[[str], "BucketLocation"]
"""Returns the place of one bucket, if it is in that region."""


class BucketLocation(Struct, frozen=True):
    """base: a URL without a trailing slash. region, service: the scope of signatures."""

    base: str
    region: str
    service: str = "s3"


def locate(
    bucket: str,
    region: str,
    endpoint: str | None,
    style: str,
    setting: str = "AWS_ENDPOINT_URL",
    regional: str | None = None,
) -> BucketLocation:
    """Return the place of a bucket by its name.

    endpoint: a custom endpoint, which `setting` names.
    style: `path`, `virtual` or `auto`, as in `~/.aws/config`. Auto means path style for a custom endpoint, and for a
    bucket whose name is not a label of a host: one with dots would not match AWS's certificate, and one with capitals,
    as old buckets may have, is another bucket there. The latter is addressed by its path whatever the style.
    regional: AWS's own endpoint of a region that is not a USUAL_REGION.

    Raises UsageProblem for an invalid endpoint, and for a directory bucket.
    """
    own = endpoint is not None
    if endpoint is None:
        if bucket.endswith(DIRECTORY_SUFFIXES):
            raise UsageProblem(
                "the destination is a directory bucket (S3 Express One Zone), which needs sessions of its own, and they"
                " are not supported here",
                next_step="use a general purpose bucket",
            )
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        endpoint = regional or f"https://s3.{region}.{suffix}"
    scheme, host, netloc, path = endpoint_parts(endpoint, setting)
    by_path = (
        style == "path"
        or (style != "virtual" and (own or "." in bucket or is_loopback(host)))
        or not all(map(_LABEL.fullmatch, bucket.split(".")))
    )
    if by_path:
        return BucketLocation(f"{scheme}://{netloc}{path}/{quote(bucket, safe=UNRESERVED)}", region)
    return BucketLocation(f"{scheme}://{bucket}.{netloc}{path}", region)


def endpoint_parts(endpoint: str, setting: str) -> tuple[str, str, str, str]:
    """Return scheme, host, host with port, and path (without a trailing slash) of an endpoint.

    Its spelling must be the same in the signature, on the wire and in a proxy, so endpoints that libraries normalise in
    different ways are refused. Raises UsageProblem with the setting's name, but without its value, which may contain a
    password.
    """
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UsageProblem(f"{setting} is not a URL with a valid port", next_step=NEXT.format(setting)) from None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageProblem(f"{setting} is not a plain http(s) URL", next_step=NEXT.format(setting))
    path = parts.path.rstrip("/")
    odd = any(segment in ("", ".", "..") for segment in path.split("/")[1:])
    if odd or quote(path, safe="/%" + UNRESERVED) != path or not all("!" <= one <= "~" for one in endpoint):
        raise UsageProblem(
            f"{setting} contains what a URL must not contain unescaped: spaces, '..', '//', or non-ASCII characters",
            next_step=NEXT.format(setting),
        )
    name = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return parts.scheme, host, name if port in (None, usual) else f"{name}:{port}", path


def regional_endpoint(session: Any, region: str) -> str:
    """Return AWS's own endpoint of a region, by botocore's rules. Raises UsageProblem."""
    return str(_client(session, region).meta.endpoint_url)


def resolver(session: Any, bucket: str, endpoint: str | None) -> Locate:
    """Return a function that locates by botocore's rules: access points, dual-stack, FIPS and accelerated endpoints.

    bucket: a name, or an access point's ARN.
    Raises UsageProblem if it cannot be resolved.
    """
    arn = bucket.split(":") if bucket.startswith("arn:") else []
    if arn and not arn[3]:
        raise UsageProblem(
            "the destination is a multi-region access point, whose requests need a signature (SigV4A) that is not"
            " supported here",
            next_step="put to the bucket, or to an access point of one region",
        )
    return partial(_resolve, session, bucket, endpoint, arn[3] if arn else "")


def _resolve(session: Any, bucket: str, endpoint: str | None, region_of_arn: str, region: str) -> BucketLocation:
    client = _client(session, region_of_arn or region, endpoint)
    with _undetermined(bucket):
        url = client.generate_presigned_url("head_object", Params={"Bucket": bucket, "Key": PROBE_KEY})
    parts = urlsplit(url)
    _, _, signed_region, service, _ = parse_qs(parts.query)["X-Amz-Credential"][0].split("/")
    base = f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/' + PROBE_KEY)}"
    return BucketLocation(base, signed_region, service)


def _client(session: Any, region: str, endpoint: str | None = None) -> Any:
    from botocore.config import Config  # type: ignore[import-untyped]

    with _undetermined(region):
        return session.create_client(
            "s3",
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id="unused",
            aws_secret_access_key="unused",  # nosec B106  # signs a URL that is never sent
            config=Config(signature_version="s3v4"),
        )


@contextmanager
def _undetermined(what: str) -> Iterator[None]:
    """Raise UsageProblem for botocore's errors, which are of many kinds, for the bucket and the user's settings."""
    try:
        yield
    except Exception as error:
        raise UsageProblem(
            f"the address of {what} cannot be determined from the AWS configuration: {error}",
            next_step="check the destination, AWS_REGION, AWS_ENDPOINT_URL and the profile",
        ) from None
