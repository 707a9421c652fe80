"""A signed request that is recorded and sent again: it changes nothing."""

import json
from base64 import b64decode, b64encode

import httpx2
import pytest

from roar_publisher.glaas.signature import NAMESPACE, ssh_string
from roar_publisher.registry.accounts.signatures import WINDOW
from tests.support.registry.harness import job, succeeded
from tests.support.registry.people import Bearer, Ssh
from tests.support.registry.scene import GROUPS, Scene, same_header

pytestmark = pytest.mark.anyio


async def test_a_signed_request_that_is_sent_again_changes_nothing(scene: Scene) -> None:
    for endpoint in GROUPS:
        method, path, body = scene.request(endpoint)
        header = scene.alice.signed(method, path, body)
        first = await scene.send(endpoint, same_header(header))
        before = scene.state()
        for variant in (header, _with_other_reserved_bytes(header)):
            assert (await scene.send(endpoint, same_header(variant))).is_success is first.is_success, endpoint
        assert scene.state() == before, endpoint


@pytest.mark.parametrize("endpoint", ["/api/v1/labels/sync", "/api/v1/labels/reconcile", "{root}/labels/batch"])
async def test_a_signed_label_that_is_sent_again_does_not_undo_a_later_one(scene: Scene, endpoint: str) -> None:
    scene.session = await scene.registry.open(auth=Bearer(scene.alice))
    await scene.session.add_jobs(job(8))
    lineage_hash = (await scene.session.finalize())["hash"]
    path = endpoint.format(root=scene.session.root)

    async def send(team: str, header: str | None = None) -> httpx2.Response:
        label = {"entity_type": "dag", "session_hash": lineage_hash, "metadata": {"team": team}}
        body = json.dumps({"session_hash": lineage_hash, "labels": [label]}).encode()
        headers = {"Authorization": header or scene.alice.signed("POST", path, body)}
        if header is None:
            recorded.append(headers["Authorization"])
        return await scene.registry.client.post(path, content=body, headers=headers)

    recorded: list[str] = []
    succeeded(await send("one"))
    before = scene.state()
    succeeded(await send("one", recorded[0]))
    assert scene.state() == before, "nothing is left to do for a request that comes twice"
    succeeded(await send("two"))
    before = scene.state()
    for variant in (recorded[0], _with_other_reserved_bytes(recorded[0])):
        assert (await send("one", variant)).status_code == 425
    scene.registry.clock.now += WINDOW
    assert (await send("one", recorded[0])).status_code == 425
    scene.registry.clock.now += 1
    assert (await send("one", recorded[0])).status_code == 401
    assert scene.state() == before


async def test_spent_signatures_are_forgotten_after_their_time(scene: Scene) -> None:
    for team in ("one", "two", "three"):
        label = {"entity_type": "dag", "session_hash": scene.lineage_hash, "metadata": {"team": team}}
        sync = scene.registry.client.post("/api/v1/labels/sync", json={"labels": [label]}, auth=Ssh(scene.alice))
        succeeded(await sync)
        scene.registry.clock.now += 10 * WINDOW
    rows = scene.registry.store.read(lambda db: db.execute("SELECT count(*) FROM spent_signatures").fetchone()[0])
    assert rows == 1


def _with_other_reserved_bytes(header: str) -> str:
    """The same signature in another frame: nothing signs the field that SSHSIG reserves."""
    head, _, signature = header.rpartition('sig="')
    namespace = ssh_string(NAMESPACE)
    blob = b64decode(signature.rstrip('"')).replace(namespace + ssh_string(b""), namespace + ssh_string(b"anything"))
    return f'{head}sig="{b64encode(blob).decode()}"'
