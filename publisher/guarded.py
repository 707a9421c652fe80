"""Values whose text leaves out what must not be displayed."""

from typing import Any, ClassVar

from msgspec import Struct


class Guarded(Struct, frozen=True):
    """A value that is shown without some of its fields. HIDDEN: their names, such as those of credentials."""

    HIDDEN: ClassVar[tuple[str, ...]] = ()

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.HIDDEN]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"
