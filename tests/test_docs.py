"""The documentation agrees with the repository: citations, links, paths and bounds."""

import re
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT

ROOT = CHECKOUT
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
SOURCES = sorted(path for top in ("publisher", "state", "tests", "scripts") for path in (ROOT / top).rglob("*.py"))
MOST_LINES, MOST_CHARACTERS = 120, 120
"""Of README.md."""
MOST_TERMS = 25
"""Of the glossary."""


def test_every_cited_section_of_the_protocol_exists() -> None:
    sections = set(re.findall(r"^## (\d+)\.", (ROOT / "docs/protocol.md").read_text(encoding="utf-8"), re.MULTILINE))
    cited = set()
    for path in SOURCES:
        for citation in re.findall(r"protocol\.md ((?:§\d+(?:, )?)+)", path.read_text(encoding="utf-8")):
            cited |= {(number, str(path)) for number in re.findall(r"\d+", citation)}
    assert len(cited) > 50
    assert {(number, path) for number, path in cited if number not in sections} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    paths = re.findall(r"`((?:publisher|state|tests|scripts|docs)/[\w./-]+)`", text)
    examples = {"publisher/storage/azure.py", "publisher/storage/azure_account.py"}
    assert [target for target in links if not (page.parent / target).exists()] == []
    assert [path for path in paths if path not in examples and not (ROOT / path).exists()] == []


def test_the_readme_stays_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > MOST_CHARACTERS] == []


def test_the_glossary_stays_short() -> None:
    _, _, glossary = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Glossary")
    assert 5 < len(re.findall(r"^\| (?!term|---)", glossary, re.MULTILINE)) <= MOST_TERMS
