"""What is left out of a folder that is put."""

_NAMES = frozenset({".git", ".roar", ".roar-fetch"})


def is_left_out(name: str) -> bool:
    """Return whether a file or folder of this name is no artifact, and is never fetched (`fetching.names`).

    Names count as file systems compare them that ignore case, dots and spaces at the end. A file `.git`, which
    submodules and work trees have, leads to a repository of this machine.
    """
    return name.casefold().rstrip(". ") in _NAMES
