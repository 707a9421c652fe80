"""What S3's error codes mean: try again, renew the credentials, or tell a person."""

from roar_publisher.glaas.policy import Verdict
from roar_publisher.state.errors import LocalProblem, NeedsPerson, PublisherError, Rejected
from roar_publisher.storage.http import Reply, verdict
from roar_publisher.storage.s3_account import SIGN_IN
from roar_publisher.storage.s3_xml import error_in

BUSY_CODES = frozenset({"SlowDown", "ServiceUnavailable", "Throttling", "RequestLimitExceeded", "TooManyRequests"})
FAILED_CODES = frozenset(
    {"InternalError", "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "OperationAborted"}
)
"""Among them what a damaged transfer looks like: the bytes that left were right, so they are sent again."""
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"})
GONE_CODES = frozenset({"NoSuchUpload", "InvalidPart", "InvalidPartOrder"})
"""The upload, or a part of it, is not there any more."""
REGION_CODES = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
WRONG_KEY_CODES = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch"})
NO_BODY_EXPIRED = 400
"""What a HEAD with expired credentials gets: S3 sends no error document with it."""


def judge_s3(reply: Reply) -> Verdict:
    """By code where there is one, also in a 200 (CompleteMultipartUpload answers before it knows), else by status."""
    code = error_in(reply.body).code if reply.body else ""
    if code in BUSY_CODES:
        return Verdict.BUSY
    if code in FAILED_CODES:
        return Verdict.FAILED
    if code and reply.ok:
        return Verdict.REFUSED
    return verdict(reply)


def is_expired(method: str, reply: Reply) -> bool:
    """Whether other credentials might do."""
    if method == "HEAD":
        return reply.status == NO_BODY_EXPIRED
    return error_in(reply.body).code in EXPIRED_CODES


def explain(reply: Reply, where: str, region: str) -> PublisherError:
    """The error of a reply that is S3's final no.  where: the destination."""
    error = error_in(reply.body)
    right_region = reply.headers.get("x-amz-bucket-region") or error.region
    if 300 <= reply.status < 400 or error.code in REGION_CODES:
        return Rejected(
            f"{where} is in another region" + (f": {right_region}" if right_region else f" than {region}"),
            next_step=f"set AWS_REGION={right_region or '…'} and resume",
            reason="region",
        )
    if error.code in EXPIRED_CODES or (reply.status == NO_BODY_EXPIRED and not reply.body):
        return NeedsPerson("the AWS credentials expired", next_step=SIGN_IN, reason="auth")
    if error.code in WRONG_KEY_CODES:
        return NeedsPerson("the object store does not accept the AWS credentials", next_step=SIGN_IN, reason="auth")
    if error.code == "RequestTimeTooSkewed":
        return LocalProblem("this machine's clock differs from the object store's", reason="clock", resumable=True)
    if error.code == "NoSuchBucket":
        return Rejected(f"{where}: there is no such bucket", next_step="create it, or choose another destination")
    if reply.status == 403:
        return Rejected(f"{where} may not be written with these credentials", reason="access denied")
    words = f"{error.code}: {error.message}" if error.code else f"HTTP {reply.status}"
    return Rejected(f"the object store refused: {words}")
