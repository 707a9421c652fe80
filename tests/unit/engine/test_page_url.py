"""Which address of a lineage's page is shown as a link."""

import pytest

from roar_publisher.engine.steps.receipts import page_url

HASH = "a" * 64
SHOWN = [
    ("https://api.glaas.ai", "https://glaas.ai/dag"),
    ("https://api.glaas.ai", "https://api.glaas.ai/dag"),
    ("https://api.glaas.ai", "https://app.glaas.ai/dag"),
    ("https://api.glaas.ai", "https://GLAAS.ai:443/dag"),
    ("https://api.example.org", "https://example.org/dag"),
    ("https://api.example.org", "https://web.api.example.org/dag"),
    ("https://example.org/glaas", "https://example.org/pages/dag"),
    ("http://127.0.0.1:8123", "http://127.0.0.1:8123/dag"),
    ("http://[::1]:8123", "http://[::1]:8123/dag"),
    ("http://registry.localhost", "http://registry.localhost:80/dag"),
]
NOT_SHOWN = [
    ("https://api.glaas.ai", "http://glaas.ai/dag"),
    ("https://api.glaas.ai", "https://glaas.ai.evil.example/dag"),
    ("https://api.glaas.ai", "https://evilglaas.ai/dag"),
    ("https://api.glaas.ai", "https://glaas.ai:8443/dag"),
    ("https://api.example.org", "https://org/dag"),
    ("https://example.org", "https://org/dag"),
    ("https://api.example.org", "https://app.example.org/dag"),
    ("https://alice.github.io", "https://mallory.github.io/dag"),
    ("https://10.0.0.1", "https://0.0.1/dag"),
    ("https://api.example.org", "https://user:pass@api.example.org/dag"),
    ("https://api.example.org", "https://evil.example\\@api.example.org/dag"),
    ("https://api.example.org", "https://api.example.org\\.evil.example/dag"),
    ("https://api.example.org", "//api.example.org/dag"),
    ("https://api.example.org", "ftp://api.example.org/dag"),
    ("https://api.example.org", "https://api.example.org:99999/dag"),
    ("https://api.example.org", "https://[api.example.org/dag"),
    ("https://api.example.org", f"https://api.example.org/dag/{'b' * 64}?of="),
]


@pytest.mark.parametrize(("registry", "page"), SHOWN)
def test_a_page_of_the_registry_is_shown(registry: str, page: str) -> None:
    url = f"{page}/{HASH}"
    assert page_url(url, registry, HASH) == (url, "")


@pytest.mark.parametrize(("registry", "page"), NOT_SHOWN)
def test_a_page_of_anybody_else_is_not(registry: str, page: str) -> None:
    url, note = page_url(f"{page}/{HASH}", registry, HASH)
    assert url is None
    assert "not shown" in note
    assert "://" not in note
