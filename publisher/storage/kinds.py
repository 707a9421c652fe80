"""The kinds of object stores that a destination may name. A new one is added to `STORES` (CONTRIBUTING.md).

Each imports its modules when it is first used, because they load the HTTP library and need optional packages.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from roar_publisher.extras import require

if TYPE_CHECKING:
    from roar_publisher.net.certificates import TrustedCertificates
    from roar_publisher.storage.http import StoreConnection
    from roar_publisher.storage.store import ObjectStore

Connect = Callable[["TrustedCertificates"], "StoreConnection"]
"""Returns the connections to a store, whose certificates are checked as given."""


class StoreKind(ABC):
    """A kind of object store.

    form: how its destinations are written. description: what it is, for `roar put --help`. sign_in: what the user does
    if there are no credentials. extra: of this package, without which it cannot be used; empty if none is needed.
    """

    form: ClassVar[str]
    description: ClassVar[str]
    sign_in: ClassVar[str]
    extra: ClassVar[str] = ""

    def require_extra(self) -> None:
        """Raise UsageProblem unless the packages that this store needs are installed."""
        if self.extra:
            require(self.extra, f"the destination {self.form}")

    @abstractmethod
    async def open(self, bucket: str, prefix: str, environ: Mapping[str, str], connect: Connect) -> "ObjectStore":
        """Return the store. prefix: without leading and trailing slashes. Does not connect yet.

        Raises UsageProblem for an invalid configuration.
        """

    @abstractmethod
    def describe_access(self, bucket: str, environ: Mapping[str, str]) -> str:
        """Return the endpoint and the source of the credentials. Reads no secrets, sends no request.

        Raises PublisherError if they cannot be determined.
        """


class S3(StoreKind):
    form = "s3://bucket/prefix"
    description = "any S3-compatible store (AWS_ENDPOINT_URL, profiles)"
    sign_in = "sign in to the object store (aws login or aws sso login, or set AWS_PROFILE)"
    extra = "s3"

    async def open(self, bucket: str, prefix: str, environ: Mapping[str, str], connect: Connect) -> "ObjectStore":
        from roar_publisher.storage.s3 import S3Store
        from roar_publisher.storage.s3_account import open_account

        account = await open_account(bucket, environ)
        return S3Store(bucket, prefix, account, connect(account.trust))

    def describe_access(self, bucket: str, environ: Mapping[str, str]) -> str:
        from roar_publisher.storage.s3_account import describe_access

        return describe_access(bucket, environ)


class GoogleCloudStorage(StoreKind):
    form = "gs://bucket/prefix"
    description = "Google Cloud Storage"
    sign_in = "sign in to the object store (gcloud auth application-default login)"
    extra = "gcs"

    async def open(self, bucket: str, prefix: str, environ: Mapping[str, str], connect: Connect) -> "ObjectStore":
        from roar_publisher.storage.gcs import GcsStore
        from roar_publisher.storage.gcs_account import open_account

        account = open_account(environ)
        return GcsStore(bucket, prefix, account, connect(account.trust))

    def describe_access(self, bucket: str, environ: Mapping[str, str]) -> str:
        from roar_publisher.storage.gcs_account import describe_access

        return describe_access(environ)


STORES: Mapping[str, StoreKind] = {"s3": S3(), "gs": GoogleCloudStorage()}
"""By the scheme of the destination."""
