"""The result of a publish: the identity, the owner, and the stored files."""

from pathlib import Path

from msgspec import Struct

from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.state.objects import ObjectTally
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.record import PROVEN, Plan, Progress
from roar_publisher.text import count, size

PUBLIC = "public"
NO_FILES = ObjectTally(0, 0, 0, 0)


class Result(Struct, frozen=True):
    """A finished publish. files: of a put. receipt: the file of its receipt, if there is one."""

    plan: Plan
    progress: Progress
    files: ObjectTally = NO_FILES
    receipt: Path | None = None

    @property
    def visibility(self) -> str | None:
        """`public`, or the visibility in a space or project.

        None if the registry already had the lineage and does not report its visibility.
        """
        if self._published_elsewhere:
            return (self.progress.receipt or {}).get("visibility")
        return str((self.progress.scope_request or {}).get("visibility", PUBLIC))

    @property
    def _published_elsewhere(self) -> bool:
        return bool(self.progress.published_elsewhere) and not self.progress.binding_prepared

    @property
    def project(self) -> str | None:
        """The registry's id of the project that the lineage belongs to, or None."""
        return (self.progress.scope_request or {}).get("project_id")

    @property
    def owner(self) -> str | None:
        """The registry's id of the owner of the project or space. None if there is no owner, or if it is the user."""
        return (self.progress.scope_request or {}).get("owner_id")

    @property
    def identity(self) -> str:
        return self.progress.identity or ANONYMOUS_IDENTITY

    def sentences(self) -> list[str]:
        """Return sentences for the user: one with visibility and identity, then the files of a put and the receipt."""
        shown = self.visibility or "visibility unchanged"
        if self._published_elsewhere:
            shown = f"published before, {shown}"
        words = [f"{shown.capitalize()}{self._place()}, {self._by()}."]
        if self.plan.destination is not None:
            files = f"{count(self.files.objects, 'file')} ({size(self.files.size)})"
            words.append(f"Stored {files} in {self.plan.destination}.")
        if (self.progress.verification or {}).get("outcome") == PROVEN:
            words.append("Read back and proven.")
        if self.receipt is not None:
            words.append(f"Receipt: roar receipt {self.plan.id}")
        return words

    def _place(self) -> str:
        if self.project is not None:
            return f", in the project {self.project} of {self.owner}"
        if self.owner is not None:
            return f", in the space of {self.owner}"
        return ", in your own space" if "owner_type" in (self.progress.scope_request or {}) else ""

    def _by(self) -> str:
        return "published anonymously" if self.identity == ANONYMOUS_IDENTITY else f"published as {self.identity}"


def result_of(paths: PublishPaths, plan: Plan, progress: Progress, files: ObjectTally) -> Result:
    """Return the result of a publish that is done. Raises LocalProblem if its files cannot be read."""
    receipt = paths.receipt(progress.hash) if progress.hash and paths.has_receipt(progress.hash) else None
    return Result(plan, progress, files, receipt)
