"""Lists of lineages, search, artifacts and impact: what is found, in which order, and by whom."""

import re

import httpx2
import pytest

from roar_publisher.registry.accounts.scope import reader_of
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import finding, impact, indexing
from roar_publisher.registry.lineages.finding import LISTED
from roar_publisher.registry.store import projects
from roar_publisher.registry.store.access import READABLE, LineageScope, Reader, reader_parameters, spaces_of
from roar_publisher.registry.store.database import Connection
from tests.support.registry.harness import Registry, digest, job, uid
from tests.support.registry.indexing import index_all
from tests.support.registry.people import Bearer, Person
from tests.support.registry.planted import Planted, lineage_hash, plant
from tests.unit.registry.test_costs import counted

pytestmark = pytest.mark.anyio

REPOSITORY = "https://github.com/acme/vision.git"


def listed(page: httpx2.Response) -> list[str]:
    """The lineages that a page links to, in order."""
    assert page.status_code == 200, page.text
    return list(dict.fromkeys(re.findall(r'href="/dag/(\w+)"', page.text)))


async def everything(registry: Registry, path: str, person: Person | None = None) -> list[str]:
    """The lineages of all pages of a list."""
    found: list[str] = []
    auth = Bearer(person) if person else httpx2.Auth()
    while path:
        page = await registry.client.get(path, auth=auth)
        found += listed(page)
        following = re.findall(r'<a href="([^"]+)">Earlier', page.text)
        path = following[0].replace("&amp;", "&") if following else ""
    return found


class World:
    """Lineages of Alice, of her organization and of its project, public and private."""

    def __init__(self, registry: Registry, store: Store) -> None:
        self.alice, self.bob = registry.person("alice"), registry.person("bob")
        self.owner = store.accounts.write(projects.add_owner, "acme")
        self.project = store.accounts.write(projects.add_project, "acme", "secret", "private")
        store.accounts.write(projects.set_owner_member, "acme", "alice", member=True)
        scopes = {
            "public": LineageScope("public"),
            "her own": LineageScope("private"),
            "of the owner": LineageScope("private", self.owner),
            "of the project": LineageScope("private", self.owner, self.project),
        }
        self.hashes = {
            name: plant(
                store,
                number,
                [Planted(f"python train{number}.py --name {name}", (1, 50 + number), (100 + number,))],
                owner=self.alice.user.id,
                scope=scope,
                repository=REPOSITORY,
            )
            for number, (name, scope) in enumerate(scopes.items())
        }
        index_all(store)


@pytest.fixture
def world(registry: Registry, store: Store) -> World:
    return World(registry, store)


async def test_a_list_is_read_page_by_page_newest_first(registry: Registry, store: Store) -> None:
    count = 2 * LISTED + 7
    hashes = [plant(store, number, [Planted("x")]) for number in range(count)]
    assert await everything(registry, "/") == hashes[::-1]
    assert len(listed(await registry.client.get("/"))) == LISTED
    assert (await registry.client.get("/?at=soon")).status_code == 422
    assert (await registry.client.get("/?at=nan")).status_code == 422


async def test_lineages_of_one_moment_are_listed_once_each(registry: Registry, store: Store) -> None:
    hashes = [plant(store, number, [Planted("x")]) for number in range(LISTED + 20)]
    store.write(lambda connection: connection.execute("UPDATE lineages SET published_at = 0.1"))
    assert await everything(registry, "/") == sorted(hashes)


async def test_lists_show_what_their_reader_may_see(registry: Registry, world: World) -> None:
    hers, public = list(world.hashes.values())[::-1], [world.hashes["public"]]
    paths = ("/", f"/repository?name={REPOSITORY}", "/search?q=train", "/search?q=--name")
    for path in paths:
        assert await everything(registry, path, world.alice) == hers, path
        assert await everything(registry, path, world.bob) == public, path
        assert await everything(registry, path) == public, path
    own, owner = f"/owner?name={world.alice.user.id}", f"/owner?name={world.owner}"
    project = f"/project?name={world.project}"
    assert await everything(registry, own, world.alice) == [world.hashes["her own"], world.hashes["public"]]
    assert await everything(registry, own, world.bob) == public
    assert await everything(registry, owner, world.alice) == hers[:2]
    assert await everything(registry, project, world.alice) == hers[:1]
    for path in (owner, project):
        assert await everything(registry, path, world.bob) == []
    assert await everything(registry, "/?visibility=private", world.alice) == hers[:3]
    assert await everything(registry, "/?visibility=public", world.alice) == public
    assert await everything(registry, "/?visibility=private") == []


async def test_an_artifact_shows_the_lineages_that_its_reader_may_see(registry: Registry, world: World) -> None:
    hers, public = list(world.hashes.values())[::-1], [world.hashes["public"]]
    shared = f"/artifacts/{digest(1)}"
    for person, seen in ((world.alice, hers), (world.bob, public), (None, public)):
        page = await registry.client.get(shared, auth=Bearer(person) if person else httpx2.Auth())
        assert set(listed(page)) == set(seen)
        assert page.text.count("Used by") == len(seen)
        assert page.text.count("train") == len(seen)
    private = f"/artifacts/{digest(103)}"
    assert (await registry.client.get(private, auth=Bearer(world.bob))).status_code == 404
    page = await registry.client.get(private, auth=Bearer(world.alice))
    assert "Produced by" in page.text
    assert f"/dag/{world.hashes['of the project']}/jobs/{uid(3_000_000)}" in page.text


async def test_a_private_digest_cannot_be_probed(registry: Registry, world: World) -> None:
    """What a stranger sees of a digest that only private lineages have is what there is of one that does not exist."""
    for path in ("/artifacts/{}", "/impact?digest={}", "/search?q={}"):
        known, unknown = [await registry.client.get(path.format(name)) for name in (digest(103), digest(999))]
        assert known.text.replace(digest(103), "") == unknown.text.replace(digest(999), "")
        assert known.status_code == unknown.status_code


async def test_pages_of_private_nodes_are_404_for_others(registry: Registry, world: World) -> None:
    for number, name in enumerate(world.hashes):
        path = f"/dag/{world.hashes[name]}/jobs/{uid(number * 1_000_000)}"
        assert (await registry.client.get(path, auth=Bearer(world.alice))).status_code == 200
        assert (await registry.client.get(path)).status_code == (200 if name == "public" else 404)


async def test_spaces_say_the_same_as_the_condition(store: Store, registry: Registry, world: World) -> None:
    readers = [Reader()]
    for person in (world.alice, world.bob):
        readers += [
            reader_of(person.user, None),
            Reader(person.user.id, (world.owner,)),
            Reader(person.user.id, (), (world.project,)),
        ]
    rows = store.read(lambda connection: connection.execute("SELECT hash, space FROM lineages").fetchall())

    def readable(connection: Connection, reader: Reader) -> set[str]:
        found = connection.execute(f"SELECT hash FROM lineages WHERE {READABLE}", reader_parameters(reader))
        return {row["hash"] for row in found}

    for reader in readers:
        here = {row["hash"] for row in rows if row["space"] in spaces_of(reader)}
        assert here == store.read(readable, reader)


async def test_a_lineage_that_becomes_public_is_found_by_all(registry: Registry, store: Store) -> None:
    alice = registry.person("alice")
    scope = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    for visibility in ("private", "public"):
        session = await registry.open(auth=Bearer(alice))
        await session.add_jobs(job(1, command="python hidden.py"))
        lineage = (await session.finalize(scope_request={**scope, "visibility": visibility}))["hash"]
        index_all(store)
        expected = [lineage] if visibility == "public" else []
        assert listed(await registry.client.get("/search?q=hidden")) == expected
        assert listed(await registry.client.get("/")) == expected
        assert listed(await registry.client.get("/search?q=hidden", auth=Bearer(alice))) == [lineage]


async def test_search_finds_each_kind_of_word(registry: Registry, store: Store) -> None:
    session = await registry.open()
    await session.add_jobs(job(1, command="python fine_tune.py --config big.yaml"))
    await session.add_links(1, "outputs", {"hash": digest(5), "path": "/runs/2026/model-final.pt"})
    lineage = (await session.finalize())["hash"]
    label = {"entity_type": "dag", "session_hash": lineage, "metadata": {"team": {"name": "Perception"}}}
    assert (await session.post("/labels/batch", {"labels": [label]})).is_success
    index_all(store)

    async def found(query: str, kind: str = "") -> bool:
        return listed(await registry.client.get("/search", params={"q": query, "kind": kind})) == [lineage]

    for query in ("fine_tune", "FINE", "tune", "fine big", "model-final.pt", "final", "percep", "acme", lineage[:8]):
        assert await found(query), query
    for query in ("ine_tune", "fine small", "", "x"):
        assert not await found(query), query
    assert await found("fine", "command")
    assert not await found("fine", "path")
    page = await registry.client.get(f"/search?q={digest(5)[:10]}")
    assert f'href="/artifacts/{digest(5)}"' in page.text


async def test_a_search_reads_a_bounded_number_of_words(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MAX_CANDIDATES", 10)
    for number in range(15):
        plant(store, number, [Planted(f"python x{number}.py")])
    index_all(store)
    page = await registry.client.get("/search?q=py")
    assert 0 < len(listed(page)) <= 10
    assert "There is more" in page.text


async def test_a_search_begins_with_the_rarest_word_and_the_newest_lineages(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MAX_CANDIDATES", 10)
    for number in range(15):
        plant(store, number, [Planted("python train.py") if number != 3 else Planted("python train.py resnet")])
    plant(store, 15, [Planted("python train.pyx")])
    index_all(store)
    for query, found in (
        ("train.py", range(14, 4, -1)),
        ("train.py resnet", [3]),
        ("train.py 100 resnet", [3]),
    ):
        page = await registry.client.get("/search", params={"q": query})
        assert listed(page) == [lineage_hash(number) for number in found]
        assert ("There is more" in page.text) is (query == "train.py")
    monkeypatch.setattr(finding, "MAX_CANDIDATES", 15)
    assert "There is more" in (await registry.client.get("/search?q=python")).text
    monkeypatch.setattr(finding, "MAX_CANDIDATES", 16)
    assert "There is more" not in (await registry.client.get("/search?q=python")).text


async def test_programs_are_found_in_a_lineage_with_more_words_than_are_indexed(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(indexing.MAX_WORDS, "command", 20)
    jobs = [*(Planted(f"python shard.py --name a{n}x") for n in range(300)), Planted("python zlast.py --name b")]
    lineage = plant(store, 0, jobs)
    index_all(store)
    assert listed(await registry.client.get("/search?q=zlast")) == [lineage]
    assert listed(await registry.client.get("/search?q=a299x")) == []
    words = store.read(lambda connection: connection.execute("SELECT count(*) FROM words").fetchone()[0])
    assert words < 40


async def test_impact_follows_files_across_lineages(registry: Registry, store: Store) -> None:
    hashes = [
        plant(store, 0, [Planted("clean", (1,), (2,)), Planted("split", (2,), (3, 4))]),
        plant(store, 1, [Planted("train", (3,), (5,))]),
        plant(store, 2, [Planted("other", (7,), (8,))]),
        plant(store, 3, [Planted("loop", (5,), (1, 6))]),
    ]
    index_all(store)
    page = await registry.client.get(f"/impact?digest={digest(1)}")
    rows = re.findall(r'<tr><td>(\d+)</td><td><a href="/artifacts/(\w+)"', page.text)
    assert rows == [(str(distance), digest(number)) for distance, number in ((1, 2), (2, 3), (2, 4), (3, 5), (4, 6))]
    assert "5 artifacts by 4 jobs in 3 lineages" in page.text
    assert set(listed(page)) == {hashes[0], hashes[1], hashes[3]}
    refused_page = await registry.client.get("/impact?digest=unknown-digest")
    assert refused_page.status_code == 404


async def test_impact_is_bounded_and_says_so(registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(
        store, 0, [Planted("split", (1,), range(100, 400)), *(Planted("x", (n,), (n + 1000,)) for n in range(100, 400))]
    )
    index_all(store)
    page = await registry.client.get(f"/impact?digest={digest(1)}&page=6")
    assert "600 artifacts by 301 jobs in 1 lineage" in page.text
    assert len(re.findall("<tr><td>2</td>", page.text)) == 100
    monkeypatch.setattr(impact, "MAX_ROWS", 350)
    page = await registry.client.get(f"/impact?digest={digest(1)}")
    assert "At least" in page.text


async def test_the_cost_of_a_page_does_not_grow_with_other_lineages(registry: Registry, store: Store) -> None:
    parts = range(2, 40)
    plant(store, 0, [Planted("x", (1,), parts), *(Planted("y", (part,), (part + 100,)) for part in parts)])
    paths = [f"/impact?digest={digest(1)}", f"/artifacts/{digest(2)}", "/search?q=train", f"/search?q={digest(1)}"]
    costs: list[list[int]] = []
    for number in range(1, 3):
        for other in range(60 * number):
            first = 1_000 * (other + 100 * number)
            jobs = [Planted("other", (first + each,), (first + each + 1,)) for each in range(5)]
            plant(store, first, jobs)
        index_all(store)
        costs.append([])
        for path in paths:
            with counted(store) as steps:
                assert (await registry.client.get(path)).status_code == 200
            costs[-1].append(steps.taken)
    assert [more < 1.2 * cost + 100 for cost, more in zip(*costs, strict=True)] == [True] * len(paths)


async def test_impact_shows_what_its_reader_may_see(registry: Registry, world: World) -> None:
    path = f"/impact?digest={digest(1)}"
    assert set(listed(await registry.client.get(path, auth=Bearer(world.alice)))) == set(world.hashes.values())
    assert listed(await registry.client.get(path, auth=Bearer(world.bob))) == [world.hashes["public"]]
    assert listed(await registry.client.get(path)) == [lineage_hash(0)]
    assert "1 artifact by 1 job in 1 lineage" in (await registry.client.get(path)).text


async def test_a_job_shows_its_links_in_pages(registry: Registry, store: Store) -> None:
    lineage = plant(store, 0, [Planted("x", range(250), (900,))])
    path = f"/dag/{lineage}/jobs/{uid(0)}"
    found: list[str] = []
    following = [path]
    while following:
        page = await registry.client.get(following[0].replace("&amp;", "&"))
        assert page.status_code == 200
        found += re.findall(r'href="/artifacts/(\w+)"', page.text.partition("Outputs")[0])
        following = re.findall(r'<a href="([^"]+)">More inputs', page.text)
    assert found == [digest(number) for number in range(250)]
    assert (await registry.client.get(f"/dag/{lineage}/jobs/{uid(9)}")).status_code == 404
