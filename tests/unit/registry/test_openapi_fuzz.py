"""Requests that schemathesis makes of the OpenAPI document, to every endpoint: no 5xx, each reply described.

In half of them, parts that must exist are there: lineages, artifacts, jobs, an open session, credentials.
"""

import random
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import HealthCheck, given, seed, settings

from roar_publisher.registry.data import Store
from tests.support.registry.conformance import assert_described, whole_document
from tests.support.registry.harness import Registry, artifact, digest, job, link, make_registry, uid
from tests.support.registry.indexing import index_all
from tests.support.registry.people import Bearer
from tests.support.sampling import EXHAUSTIVE, SEED

EXAMPLES = 200 if EXHAUSTIVE else 3
"""Requests to each endpoint."""
FORM = "application/x-www-form-urlencoded"


class Place:
    """A registry with things in it."""

    def __init__(self, portal: BlockingPortal) -> None:
        self.store = Store.in_memory()
        self._portal = portal
        self._registry: Registry = make_registry(self.store)
        self.known: dict[str, list[str]] = {}
        self.credentials = [""]
        portal.call(self._publish)
        index_all(self.store)

    async def _publish(self) -> None:
        alice = self._registry.person("alice")
        session = await self._registry.open(auth=Bearer(alice))
        await session.add_jobs(job(1), job(2))
        await session.add_artifacts(artifact(1))
        await session.add_links(1, "outputs", link(1), link(2))
        await session.add_links(2, "inputs", link(1))
        receipt = await session.finalize()
        staged = await self._registry.open()
        await staged.add_jobs(job(3))
        self.known = {
            "hash": [str(receipt["hash"]), str(receipt["hash"])[:12]],
            "digest": [digest(2), digest(1)[:8]],
            "id": [staged.opened["registration_session_id"], session.opened["registration_session_id"]],
            "uid": [uid(1), uid(3)],
            "session_hash": [str(receipt["hash"])],
            "job_uid": [uid(1), uid(2)],
            "artifact_hash": [digest(1)],
        }
        self.credentials = [alice.bearer, staged.token, "", "Bearer unknown"]

    def send(self, method: str, url: str, headers: dict[str, str], content: bytes) -> httpx2.Response:
        """Send a request. Fail unless the reply is described, and no 5xx."""
        return self._portal.call(self._sent, method, url, headers, content)

    async def _sent(self, method: str, url: str, headers: dict[str, str], content: bytes) -> httpx2.Response:
        response = await self._registry.client.request(method, url, headers=headers, content=content)
        await assert_described(self._registry.app, response)
        assert response.status_code < 500, f"{method} {url} {content[:500]!r}: {response.text}"
        return response


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with start_blocking_portal() as portal:
        made = Place(portal)
        yield made
        made.store.close()


def test_no_request_fails_or_gets_a_reply_that_is_not_described(place: Place) -> None:
    import schemathesis  # with its plug-in it would take a second of every test process

    statuses: dict[str, set[int]] = {}
    rng, numbers = random.Random(SEED), count()
    for found in schemathesis.openapi.from_dict(whole_document()).get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        assert operation is not None, found
        cases = operation.as_strategy()

        @seed(SEED)
        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            derandomize=False,
        )
        @given(case=cases)
        def ask(case: Any) -> None:
            number = next(numbers)
            headers = {name: str(value) for name, value in dict(case.headers or {}).items() if str(value).isascii()}
            if number % 2:
                known = place.known | ({"hash": place.known["digest"]} if "artifacts/{hash}" in case.path else {})
                for values in (case.path_parameters, case.query):
                    for name in set(values or {}) & set(known):
                        values[name] = rng.choice(known[name])
                headers["Authorization"] = place.credentials[number // 2 % len(place.credentials)]
            sent = case.as_transport_kwargs(base_url="http://registry")
            query = urlencode(sent.get("params") or {}, doseq=True)
            content, media = _content(sent)
            response = place.send(case.method, sent["url"] + (f"?{query}" if query else ""), headers | media, content)
            statuses.setdefault(f"{case.method} {case.path}", set()).add(response.status_code)

        ask()
    assert len(statuses) == sum(map(len, whole_document()["paths"].values()))
    assert sum(any(status < 300 for status in each) for each in statuses.values()) > 15, "many requests are accepted"


def _content(sent: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """The body, and what describes it."""
    import json

    if "json" in sent:
        return json.dumps(_plain(sent["json"])).encode(), {"Content-Type": "application/json"}
    data = sent.get("data")
    if data is None:
        return b"", {}
    text = urlencode(data, doseq=True) if isinstance(data, dict) else data
    return (text if isinstance(text, bytes) else str(text).encode()), {"Content-Type": FORM}


def _plain(value: Any) -> Any:
    """The same value without numbers like `1.0`, which JSON Schema counts as whole and the registry does not."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
