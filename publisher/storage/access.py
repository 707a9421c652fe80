"""Describes a destination and the source of its credentials for the user, before any request is sent."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from roar_publisher.extras import require
from roar_publisher.state.errors import PublisherError
from roar_publisher.storage.addresses import Kind, parse_address


def access_to(destination: str, environ: Mapping[str, str]) -> str:
    """Return the endpoint and the source of the credentials, according to this user's environment and profiles.

    Reads configuration files, but no secrets, and sends no request. The text also says if they cannot be determined.
    """
    address = parse_address(destination)
    if address.kind is Kind.FOLDER:
        return "a folder of this machine"
    try:
        return _s3(address.bucket, environ) if address.kind is Kind.S3 else _gcs(environ)
    except PublisherError as problem:
        return f"out of reach here: {problem.what}"


def _s3(bucket: str, environ: Mapping[str, str]) -> str:
    require("s3", "an s3:// destination")
    from roar_publisher.storage.s3_settings import new_session, read_settings

    session = new_session()
    endpoint = urlsplit(read_settings(session, bucket, environ).place.base)
    if environ.get("AWS_ACCESS_KEY_ID"):
        source = "AWS_ACCESS_KEY_ID"
    else:
        source = f"the AWS profile {session.profile or 'default'}"
    return f"{endpoint.scheme}://{endpoint.netloc}, with the credentials of {source}"


def _gcs(environ: Mapping[str, str]) -> str:
    from roar_publisher.storage.gcs_account import EMULATOR, GOOGLE

    if host := environ.get(EMULATOR):
        return f"{host.rpartition('@')[2]}, without credentials ({EMULATOR})"
    named = "GOOGLE_APPLICATION_CREDENTIALS"
    return f"{GOOGLE}, with the credentials of {named if environ.get(named) else 'gcloud or this machine'}"
