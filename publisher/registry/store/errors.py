"""What the store raises. `sqlite` and `postgres` translate the errors of their engines to these."""


class StoreError(Exception):
    """The store failed, for example because its file is damaged. The text is for the operator."""


class StoreUnavailable(StoreError):
    """The store cannot do this now: the disk is full, or another process holds the file. Nothing was changed."""


class TooLong(StoreError):
    """A text is longer than the engine takes where it is looked up by it. Trying again cannot help."""


class DataExists(StoreUnavailable):
    """There is a registry where another one was to be put."""


class InvalidBackup(StoreError):
    """A file is not the backup of a registry, or is damaged, or cannot be read."""


class DataInUse(StoreUnavailable):
    """Another registry runs on this data."""


class RestoreRuns(StoreUnavailable):
    """A backup is being restored in this place."""


class NewerSchemaError(StoreError):
    """The file was written by a later release. This release cannot read it."""


class WrongEncodingError(StoreError):
    """The database's encoding does not have every character."""


class SharedSessionsError(StoreError):
    """A proxy of connections gives each transaction another session of the database."""


class OldSQLiteError(StoreError):
    """The SQLite of this Python does not know the statements of this release."""


class AlreadyExists(Exception):
    """The name, key or membership exists already. The text says which, as a sentence without a full stop.

    `kind` is what exists: `user`, `key`, `owner` or `project`.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class NotFound(Exception):
    """There is no such user, key, token, owner or project (`kind`). The text is a sentence without a full stop."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name}")
        self.kind = kind
