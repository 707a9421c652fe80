"""What the store raises. `database` translates the errors of the SQL engine to these."""


class StoreError(Exception):
    """The store failed, for example because its file is damaged. The text is that of the SQL engine."""


class StoreUnavailable(StoreError):
    """The store cannot do this now: the disk is full, or another process holds the file. Nothing was changed."""


class NewerSchemaError(StoreError):
    """The file was written by a later release. This release cannot read it."""


class AlreadyExists(Exception):
    """The name, key or membership exists already. The text says which, as a sentence without a full stop."""


class NotFound(Exception):
    """There is no such user, key, token, owner or project. The text says which, as a sentence without a full stop."""
