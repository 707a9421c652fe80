"""What a put writes to roar.db, frozen with its plan: the job, its files and its datasets (`protocol.md §9`)."""

import json

from msgspec import Struct, convert
from msgspec.structs import asdict

from roar_publisher.lineage.composites import DatasetComponent


class PutFile(Struct, frozen=True):
    """An uploaded file in the lineage.

    artifact: its id in roar.db, a new one if roar has not seen the content.
    path: absolute.
    digest: blake3, hex.
    size: bytes.
    """

    artifact: str
    path: str
    digest: str
    size: int
    url: str


class Dataset(Struct, frozen=True):
    """A composite artifact that a put makes of a folder.

    artifact: its id in roar.db.
    root: the folder.
    size: bytes of all members.
    total: the number of files in it; in a dataset of datasets there are more files than components.
    stored: the number of components that are sent.
    index: the Bloom filter over all files.
    sent, kept: its metadata for requests and for roar.db, as JSON texts.
    """

    artifact: str
    root: str
    digest: str
    size: int
    total: int
    stored: int
    components: tuple[DatasetComponent, ...]
    index: dict[str, object]
    sent: str
    kept: str


class PutRecord(Struct, frozen=True):
    """The put job with its files and datasets.

    session: the session's row.
    timestamp: Unix seconds.
    sent, kept: its metadata for requests and for roar.db, as JSON texts.
    label: its system label.
    source_type: that of the destination, None if GLaaS does not know it.
    read: (artifact, path) of the datasets that the lineage used; they are inputs, too.
    """

    session: int
    job_uid: str
    timestamp: float
    command: str
    step_number: int
    sent: str
    kept: str
    label: dict[str, object]
    name: str | None
    source_type: str | None
    files: tuple[PutFile, ...]
    datasets: tuple[Dataset, ...]
    read: tuple[tuple[str, str], ...]

    def as_json(self) -> str:
        """Return the record as the journal stores it."""
        return json.dumps(self, default=asdict)

    @classmethod
    def from_json(cls, text: str) -> "PutRecord":
        """Return the record from the text of `as_json`."""
        return convert(json.loads(text), cls)  # msgspec's own decoder refuses a path that is not UTF-8
