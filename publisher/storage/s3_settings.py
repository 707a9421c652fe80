"""The S3 settings of environment and profile, as botocore reads them: endpoint, region, checksums.

S3Settings are read once and checked here, so that invalid ones are reported before anything is sent.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from roar_publisher.net.certificates import TrustedCertificates
from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.s3_location import (
    USUAL_REGION,
    BucketLocation,
    Locate,
    endpoint_parts,
    locate,
    regional_endpoint,
    resolver,
)

DEFAULT_REGION = "us-east-1"
WHEN = ("when_supported", "when_required")
FILES_AND_PROFILES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
STYLES = ("auto", "virtual", "path")


class S3Settings(Struct, frozen=True):
    """The checked settings.

    place: the bucket's location, unless it turns out to be in another region (`locate`).
    request_checksums, reply_checksums: whether S3's newer checksum headers may be sent and requested.
    """

    place: BucketLocation
    locate: Locate
    trust: TrustedCertificates
    request_checksums: bool
    reply_checksums: bool


def new_session(trust: TrustedCertificates | None = None) -> Any:
    """Return a new botocore session. trust: the certificates for botocore's own credential requests."""
    from botocore.session import Session  # type: ignore[import-untyped]

    session = Session()
    if trust is not None and trust.setting:
        session.set_config_variable("ca_bundle", trust.path)
    return session


def read_settings(session: Any, bucket: str, environ: Mapping[str, str]) -> S3Settings:
    """Return the checked settings.

    Raises UsageProblem for an invalid setting, with the name of the variable or of the profile's key.
    """
    from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

    try:
        profile = session.get_scoped_config()
        known = session.full_config.get("services", {})
    except BotoCoreError as error:  # the text names only the profile or the file, and quotes no content
        named = [name for name in FILES_AND_PROFILES if name in environ]
        what = f"the AWS configuration cannot be used: {error}"
        raise UsageProblem(
            what + (f" ({', '.join(named)})" if named else ""), next_step="check AWS_PROFILE and AWS_CONFIG_FILE"
        ) from None
    _check_numbers(session)
    s3 = _table(profile, "s3")
    services = _table(_table(known, profile.get("services", "")), "s3")
    region = _region(environ.get("AWS_REGION") or session.get_config_variable("region") or DEFAULT_REGION)
    endpoint, setting = _endpoint(session, environ, services, profile)
    style = s3.get("addressing_style", "auto")
    if style not in STYLES:
        raise UsageProblem(f"addressing_style of the AWS profile is not one of {', '.join(STYLES)}")
    by_rules = bucket.startswith("arn:") or any(
        session.get_config_variable(name) for name in ("use_fips_endpoint", "use_dualstack_endpoint")
    )
    if by_rules or (endpoint is None and str(s3.get("use_accelerate_endpoint")).lower() == "true"):
        if endpoint is not None:
            endpoint_parts(endpoint, setting)  # refuses one that cannot be used
        found: Locate = resolver(session, bucket, endpoint)
    else:
        found = partial(_located, session, bucket, endpoint, style, setting)
    return S3Settings(
        found(region),
        found,
        TrustedCertificates.chosen(
            environ,
            ("AWS_CA_BUNDLE", environ.get("AWS_CA_BUNDLE")),
            ("ca_bundle of the AWS profile", profile.get("ca_bundle")),
        ),
        _when(session, "request_checksum_calculation"),
        _when(session, "response_checksum_validation"),
    )


def _located(session: Any, bucket: str, endpoint: str | None, style: str, setting: str, region: str) -> BucketLocation:
    unusual = endpoint is None and not USUAL_REGION.fullmatch(region)
    return locate(bucket, region, endpoint, style, setting, regional_endpoint(session, region) if unusual else None)


def _endpoint(
    session: Any, environ: Mapping[str, str], services: Mapping[str, Any], profile: Mapping[str, Any]
) -> tuple[str | None, str]:
    """Return the custom endpoint, if there is one, and the name of its setting."""
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None, ""
    for setting, value in (
        ("AWS_ENDPOINT_URL_S3", environ.get("AWS_ENDPOINT_URL_S3")),
        ("AWS_ENDPOINT_URL", environ.get("AWS_ENDPOINT_URL")),
        ("endpoint_url of the AWS profile's services", services.get("endpoint_url")),
        ("endpoint_url of the AWS profile", profile.get("endpoint_url")),
    ):
        if value:
            return str(value), setting
    return None, ""


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return the nested settings below a key; empty if there are none."""
    found = config.get(name) or {}
    if not isinstance(found, dict):
        raise UsageProblem(
            f"{name} in the AWS configuration file contains no settings", next_step="indent them below it, one per line"
        )
    return found


def _region(region: str) -> str:
    if not all(one.isascii() and (one.isalnum() or one in "-_") for one in region):
        raise UsageProblem("AWS_REGION (or AWS_DEFAULT_REGION, or the profile's region) is not a region name")
    return region


def _check_numbers(session: Any) -> None:
    """Check numbers, which botocore would otherwise convert later, during other work."""
    from botocore.configprovider import (  # type: ignore[import-untyped]
        BOTOCORE_DEFAUT_SESSION_VARIABLES as VARIABLES,
    )

    for name, (key, variable, _, convert) in VARIABLES.items():
        if convert is None:
            continue
        try:
            session.get_config_variable(name)
        except (ValueError, TypeError):
            names = " or ".join(filter(None, (variable, f"the profile's {key}" if key else "")))
            raise UsageProblem(f"{names} is not a number", next_step="set or unset it") from None


def _when(session: Any, name: str) -> bool:
    """Return whether checksums are used wherever they are supported, and not only where S3 requires them."""
    value = str(session.get_config_variable(name) or WHEN[0]).lower()
    if value not in WHEN:
        raise UsageProblem(f"AWS_{name.upper()} (or the profile's {name}) is not one of {', '.join(WHEN)}")
    return value == WHEN[0]
