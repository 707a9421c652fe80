"""The documentation agrees with the repository: citations, links, paths and bounds."""

import re
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT

ROOT = CHECKOUT
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
SOURCES = sorted(path for top in ("publisher", "state", "tests", "scripts") for path in (ROOT / top).rglob("*.py"))
EXAMPLES = {"publisher/storage/azure.py", "publisher/storage/azure_account.py"}
"""Files that CONTRIBUTING.md tells one to write."""
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
    assert [target for target in links if not (page.parent / target).exists()] == []
    assert [path for path in paths if path not in EXAMPLES and not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_is_named_exists(page: Path) -> None:
    """Pages may name a module by the end of its path."""
    named = set(re.findall(r"`([\w./-]+\.py)`", page.read_text(encoding="utf-8"))) - {"state.py", "click.py", *EXAMPLES}
    ours = [f"/{path.relative_to(ROOT)}" for path in SOURCES]
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in ours)] == []


def test_the_readme_stays_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if len(line) > MOST_CHARACTERS] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_prose_is_wrapped(page: Path) -> None:
    """Lines of prose that could be broken between two words; not tables, code, and what stands in backticks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in text.splitlines() if len(line) > MOST_CHARACTERS and not line.startswith(("|", "    "))]
    assert [line for line in lines if "`" not in line] == []


def test_the_glossary_stays_short() -> None:
    _, _, glossary = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Glossary")
    assert 5 < len(re.findall(r"^\| (?!term|---)", glossary, re.MULTILINE)) <= MOST_TERMS
