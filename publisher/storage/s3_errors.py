"""What S3's error codes mean: try again, renew the credentials, ask elsewhere or otherwise, or tell a person."""

import re

from roar_publisher.glaas.policy import Verdict
from roar_publisher.state.errors import LocalProblem, NeedsPerson, PublisherError, Rejected, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.http import Reply, verdict
from roar_publisher.storage.refusals import may_not_write, no_room, no_such_bucket
from roar_publisher.storage.s3_account import SIGN_IN
from roar_publisher.storage.s3_xml import error_in

BUSY_CODES = frozenset(
    {"SlowDown", "ServiceUnavailable", "Throttling", "RequestLimitExceeded", "TooManyRequests"}
    | {"ThrottlingException", "KMS.ThrottlingException"}
)
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
QUOTA = "QuotaExceeded"
"""What the codes of a bucket that is full end with: Ceph's, and MinIO's XMinioAdminBucketQuotaExceeded."""
KMS = "KMS."
"""What the codes of a key that encrypts the bucket begin with: it is disabled, gone, or not theirs to use."""
WRONG_KEY_CODES = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch"})
HEADER_CODES = frozenset(
    {"InvalidArgument", "InvalidRequest", "NotImplemented", "UnsupportedHeader", "InvalidHeader", "BadRequest"}
    | {"SignatureDoesNotMatch", ""}
)
"""What stores call a header that they do not know; those that leave it out of their signature find another one."""
NO_BODY_EXPIRED = 400
"""What a HEAD with expired credentials gets: S3 sends no error document with it."""
PARTIAL = 206
_REGION = re.compile(r"[a-z0-9-]{1,63}")


def judge_s3(reply: Reply) -> Verdict:
    """By code where there is one, also in a 200 (CompleteMultipartUpload answers before it knows), else by status.

    A refusal whose document is not S3's comes from something in between (a gateway, a captive portal): it is waited
    for.
    """
    code = error_in(reply.body).code if reply.body and reply.status != PARTIAL else ""
    if code in BUSY_CODES:
        return Verdict.BUSY
    if code in FAILED_CODES:
        return Verdict.FAILED
    if code and reply.ok:
        return Verdict.REFUSED
    if reply.body and not code and 400 <= reply.status < 500:
        return Verdict.GARBLED
    return verdict(reply)


def is_expired(method: str, reply: Reply) -> bool:
    """Whether other credentials might do."""
    if method == "HEAD":
        return reply.status == NO_BODY_EXPIRED
    return error_in(reply.body).code in EXPIRED_CODES


def region_in(reply: Reply) -> str:
    """The region that the bucket is in, as far as a refusal tells it; empty if it does not."""
    told = reply.headers.get("x-amz-bucket-region") or error_in(reply.body).region
    return told if _REGION.fullmatch(told) else ""


def may_refuse_header(method: str, reply: Reply) -> bool:
    """Whether this may be the refusal of a header that the store does not know."""
    if reply.status not in (400, 403, 501):
        return False
    if method == "HEAD":
        return reply.status != 403
    error = error_in(reply.body)
    return error.code in HEADER_CODES or "checksum" in f"{error.code} {error.message}".lower()


def explain(reply: Reply, where: str, region: str) -> PublisherError:
    """The error of a reply that is S3's final no.  where: the destination."""
    error = error_in(reply.body)
    if 300 <= reply.status < 400 or error.code in REGION_CODES:
        right_region = region_in(reply)
        return NeedsPerson(
            f"{where} is in another region" + (f": {right_region}" if right_region else f" than {region}"),
            next_step=f"set AWS_REGION={right_region or '…'}",
            reason=Reason.REGION,
        )
    if error.code in EXPIRED_CODES or (reply.status == NO_BODY_EXPIRED and not reply.body):
        return NeedsPerson("the AWS credentials expired", next_step=SIGN_IN, reason=Reason.AUTH)
    if error.code in WRONG_KEY_CODES:
        return NeedsPerson(
            "the object store does not accept the AWS credentials", next_step=SIGN_IN, reason=Reason.AUTH
        )
    if error.code == "RequestTimeTooSkewed":
        return LocalProblem(
            "this machine's clock differs from the object store's",
            next_step="set this machine's clock",
            reason=Reason.CLOCK,
            resumable=True,
        )
    if error.code == "NoSuchBucket":
        return no_such_bucket(where)
    words = f"{error.code}: {error.message}" if error.code else f"HTTP {reply.status}"
    if error.code.endswith(QUOTA):
        return no_room(where, words)
    if reply.status == 403 or error.code.startswith(KMS):
        return may_not_write(where, words)
    if not error.code:  # S3 says why; whoever does not say it may have been something else
        return Transient(f"the object store answers, but not as S3 does ({words})", reason=Reason.NOT_S3)
    return Rejected(f"the object store refused: {words}")
