"""Words that a search finds a lineage by, and the names of groups of jobs. Nothing here reads the store.

A NUL, which a label may hold, is in no word: PostgreSQL stores none.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice

LONGEST_WORD, SHORTEST_WORD = 64, 2
WORDS_OF_TEXT = 40
"""Maximum words of one command or path, or of one key or value of a label."""
WORDS_OF_LABEL, VALUE_READ = 500, 1000
"""Maximum words of one label document, and characters of each key and value that are read for them."""
LONGEST_GROUP = 80
PIECES = 1024
"""Pieces of texts whose words are remembered: paths have their folders in common, and commands their options."""
_SEPARATORS = re.compile(r"[\s\0/\\=,;:'\"`()\[\]{}<>|&?!*@#$%^~]+")
_INNER = re.compile(r"[._\-+]+")
_NUMBER = re.compile(r"\d+\.?\d*(e[-+]?\d+)?")
_ASSIGNMENT = re.compile(r"\w+=\S*")
_SCRIPT = re.compile(r"[^\s=]+\.[A-Za-z]\w{0,5}")


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, each once: what separators enclose, and the parts of file names.

    Numbers are left out: the jobs of a large lineage differ by them, and they would take the place of all other words.
    """
    found: dict[str, None] = {}
    for piece in _SEPARATORS.split(text.lower()):
        for word in _words_of_piece(piece):
            found[word] = None
        if len(found) >= WORDS_OF_TEXT:
            break
    return list(found)[:WORDS_OF_TEXT]


@lru_cache(PIECES)
def _words_of_piece(piece: str) -> list[str]:
    whole = piece.strip("._-+")
    words = () if _is_number(whole) else (whole, *_INNER.split(piece))
    return [word[:LONGEST_WORD] for word in words if len(word) >= SHORTEST_WORD and not _is_number(word)]


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word) is not None


def sought_words(text: str) -> list[str]:
    """Return what to look for, each as the beginning of a word: the texts that separators enclose, in lower case.

    Numbers are no words (`words_of`), so a number counts only where nothing else is sought: a word may begin with it.
    """
    pieces = (piece.strip("._-+")[:LONGEST_WORD] for piece in _SEPARATORS.split(text.lower()))
    sought = [piece for piece in dict.fromkeys(pieces) if len(piece) >= SHORTEST_WORD]
    return [piece for piece in sought if not _is_number(piece)] or sought


def words_of_label(document: Mapping[str, object]) -> list[str]:
    """Return the words of a label document's keys and values, each once: at most `WORDS_OF_LABEL`, of as many texts."""
    words = (word for text in islice(_texts_of(document), WORDS_OF_LABEL) for word in words_of(text[:VALUE_READ]))
    return list(islice(dict.fromkeys(words), WORDS_OF_LABEL))


def _texts_of(document: Mapping[str, object]) -> Iterator[str]:
    for key, value in document.items():
        yield str(key)
        if isinstance(value, dict):
            yield from _texts_of(value)
        else:
            yield text_of_value(value)


def text_of_value(value: object) -> str:
    """Return a value of a label as a text: a text as it is, any other as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def group_name(command: str) -> str:
    """Return what jobs with the same program have in common: the program, with its script, module or none.

    `/usr/bin/python -u train.py --lr 1` gives `python train.py`, and `python -m pkg.train x` gives
    `python -m pkg.train`.
    """
    parts = command.split()[:8]
    while parts and (parts[0].rpartition("/")[2] == "env" or _ASSIGNMENT.fullmatch(parts[0])):
        parts = parts[1:]
    if not parts:
        return "(no command)"
    program, *arguments = parts
    name = program.rpartition("/")[2] or program
    for number, argument in enumerate(arguments):
        if argument == "-m" and number + 1 < len(arguments):
            return f"{name} -m {arguments[number + 1]}"[:LONGEST_GROUP]
        if not argument.startswith("-"):
            script = argument.rpartition("/")[2]
            return f"{name} {script}"[:LONGEST_GROUP] if _SCRIPT.fullmatch(script) else name[:LONGEST_GROUP]
    return name[:LONGEST_GROUP]
