from collections.abc import Iterator

from publisher.lineage.database import Database
from publisher.lineage.redaction import Redactor


def composite_items(database: Database, redactor: Redactor) -> Iterator[dict[str, object]]:
    return iter(())
