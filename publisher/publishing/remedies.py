"""What the user can type or do next about a publish."""

from collections.abc import Mapping

from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan

REMEDIES: Mapping[str, str] = {
    Reason.AUTH: "sign in (roar login)",
    Reason.NO_SESSIONS: "have the registry upgraded, or cancel this and publish with --public",
    Reason.CREDENTIAL: "set the store's credential again, without line breaks and spaces",
    Reason.CERTIFICATE: "set SSL_CERT_FILE to the certificates of the server's authority",
    Reason.PROXY: "correct the proxy setting, or have the proxy allow the host",
    Reason.NO_BUCKET: "create the bucket",
    Reason.ACCESS_DENIED: "have the permission granted, or use other credentials",
    Reason.SSH_KEY: "make the key usable, or name another in ROAR_SSH_KEY",
    Reason.FILE_CHANGED: "put the file back as it was",
    Reason.UNREADABLE: "make the file readable",
    Reason.NOT_A_FILE: "put the file back as it was",
    Reason.DESTINATION: "make the folder usable",
    Reason.REGION: "name the bucket's region in AWS_REGION",
    Reason.ADDRESSING: "aws configure set s3.addressing_style virtual",
    Reason.USAGE: "fix the environment or the profile",
    Reason.CONFIG: "fix the configuration",
    Reason.DISK_FULL: "free some disk space",
    Reason.TOO_MANY_FILES: "raise the limit of open files (ulimit -n 1024)",
    Reason.CLOCK: "set this machine's clock",
    Reason.NEWER_JOURNAL: "pip install --upgrade roar-publisher",
}
"""What the user must do before a publish can continue, for the reasons that need it."""


def watch_command(plan: Plan) -> str:
    """Return the command that shows the progress of a publish, whichever process works on it."""
    return f"roar publish --watch {plan.id}"
