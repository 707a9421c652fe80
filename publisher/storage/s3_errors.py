"""The meaning of S3's error codes: retry, renew the credentials, change the region or the headers, or tell the user."""

import re

from roar_publisher.net.exchange import Reply
from roar_publisher.net.policy import Verdict
from roar_publisher.state.errors import LocalProblem, NeedsUser, PublisherError, Rejected, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.http import verdict
from roar_publisher.storage.ranges import PARTIAL
from roar_publisher.storage.refusals import may_not_read, may_not_write, no_bucket_to_write, no_room
from roar_publisher.storage.s3_account import SIGN_IN
from roar_publisher.storage.s3_xml import error_in
from roar_publisher.storage.source import shown

BUSY_CODES = frozenset(
    {"SlowDown", "ServiceUnavailable", "Throttling", "RequestLimitExceeded", "TooManyRequests"}
    | {"ThrottlingException", "KMS.ThrottlingException"}
)
FAILED_CODES = frozenset(
    {"InternalError", "RequestTimeout", "IncompleteBody", "BadDigest", "XAmzContentSHA256Mismatch", "OperationAborted"}
)
"""Includes the codes for a damaged transfer. The bytes that were sent are correct, so they are sent again."""
EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"})
GONE_CODES = frozenset({"NoSuchUpload", "InvalidPart", "InvalidPartOrder"})
"""The upload, or a part of it, no longer exists."""
REGION_CODES = frozenset(
    {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)
QUOTA = "QuotaExceeded"
"""Suffix of the codes for a full bucket: Ceph's, and MinIO's XMinioAdminBucketQuotaExceeded."""
KMS = "KMS."
"""Prefix of the codes for the bucket's encryption key: disabled, missing, or not permitted."""
ARCHIVED = "InvalidObjectState"
"""The code for an object of a storage class (Glacier, Deep Archive) that has to be restored first."""
DENIED_BY_POLICY = "explicit deny"
"""What AWS's message has if a policy denies a request, instead of none allowing it: other credentials seldom help."""
WRONG_KEY_CODES = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch"})
HEADER_CODES = frozenset(
    {"InvalidArgument", "InvalidRequest", "NotImplemented", "UnsupportedHeader", "InvalidHeader", "BadRequest"}
    | {"SignatureDoesNotMatch", ""}
)
"""Codes with which stores refuse an unknown header. Stores that omit it from their signature find a mismatch."""
NO_BODY_EXPIRED = 400
"""Status of a HEAD with expired credentials, for which S3 sends no error document."""
NO_BUCKET = "NoSuchBucket"
PATH_STYLE_CODES = frozenset({"SecondLevelDomainForbidden", "PathStyleDomainForbidden", "InvalidPathAccess"})
"""The codes of Aliyun OSS, Tencent COS and Volcengine TOS for a bucket that is named in the path, not in the host."""
_REGION = re.compile(r"[a-z0-9-]{1,63}")


def judge_s3(reply: Reply) -> Verdict:
    """Return the verdict by error code, also in a 200 (CompleteMultipartUpload replies early), or else by status.

    A refusal without an S3 document comes from an intermediary (a gateway, a captive portal) and is waited out.
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


def is_success(reply: Reply) -> bool:
    """Return whether S3 did what was asked: a 200 may contain an error. A range (206) is the user's data."""
    return reply.ok and (reply.status == PARTIAL or not error_in(reply.body).code)


def is_expired(method: str, reply: Reply) -> bool:
    """Return whether other credentials might succeed."""
    if method == "HEAD":
        return reply.status == NO_BODY_EXPIRED
    return error_in(reply.body).code in EXPIRED_CODES


def region_in(reply: Reply) -> str:
    """Return the bucket's region if a refusal contains it; otherwise empty."""
    region = reply.headers.get("x-amz-bucket-region") or error_in(reply.body).region
    return region if _REGION.fullmatch(region) else ""


def may_refuse_header(method: str, reply: Reply) -> bool:
    """Return whether the store may have refused an unknown header."""
    if reply.status not in (400, 403, 501):
        return False
    if method == "HEAD":
        return reply.status != 403
    error = error_in(reply.body)
    return error.code in HEADER_CODES or "checksum" in f"{error.code} {error.message}".lower()


def explain_unread(reply: Reply, where: str, region: str) -> PublisherError:
    """Return the error for a final refusal to read one object, which does not concern others. where: its address."""
    error = error_in(reply.body)
    if error.code == ARCHIVED:
        what = f"{shown(where)} is archived, so it cannot be read until it has been restored"
        return Rejected(what, next_step="have it restored from the archive, then repeat the command")
    found = explain(reply, where, region)
    return may_not_read(where, str(error)) if found.reason is Reason.ACCESS_DENIED else found


def explain(reply: Reply, where: str, region: str) -> PublisherError:
    """Return the error for a final refusal of S3. where: the destination."""
    error = error_in(reply.body)
    if 300 <= reply.status < 400 or error.code in REGION_CODES:
        right_region = region_in(reply)
        return NeedsUser(
            f"{where} is in another region" + (f": {right_region}" if right_region else f" than {region}"),
            next_step=f"set AWS_REGION={right_region or '…'}",
            reason=Reason.REGION,
        )
    if error.code in EXPIRED_CODES or (reply.status == NO_BODY_EXPIRED and not reply.body):
        return NeedsUser("the AWS credentials expired", next_step=SIGN_IN, reason=Reason.AUTH)
    if error.code in WRONG_KEY_CODES:
        return NeedsUser("the object store does not accept the AWS credentials", next_step=SIGN_IN, reason=Reason.AUTH)
    if error.code == "RequestTimeTooSkewed":
        return LocalProblem(
            "this machine's clock differs from the object store's",
            next_step="set this machine's clock",
            reason=Reason.CLOCK,
            resumable=True,
        )
    if error.code == NO_BUCKET:
        return no_bucket_to_write(where)
    if error.code in PATH_STYLE_CODES:
        return NeedsUser(
            f"{where}: the store accepts a bucket as part of its host name only ({error})",
            next_step="aws configure set s3.addressing_style virtual",
            reason=Reason.ADDRESSING,
        )
    words = str(error) if error.code else f"HTTP {reply.status}"
    if error.code.endswith(QUOTA):
        return no_room(where, words)
    if reply.status == 403 and DENIED_BY_POLICY in error.message:
        return NeedsUser(
            f"{where}: a policy denies this upload ({words})",
            next_step="have the policy allow uploads without headers of its own, such as x-amz-server-side-encryption",
            reason=Reason.ACCESS_DENIED,
        )
    if reply.status == 403 or error.code.startswith(KMS):
        return may_not_write(where, words)
    if not error.code:  # S3 gives a reason; otherwise another server may have answered
        return not_s3(f"does not come from S3 ({words})")
    return Rejected(f"the object store refused: {words}")


def not_s3(fault: str = "does not come from S3") -> Transient:
    """Return the error for an answer that is not S3's. fault: what it does not, as the predicate of a sentence."""
    return Transient(
        f"the object store's answer {fault}",
        next_step="check AWS_ENDPOINT_URL, if it is set, or whether a proxy answers in its place",
        reason=Reason.NOT_S3,
    )
