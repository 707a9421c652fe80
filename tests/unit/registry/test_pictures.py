"""Pictures of lineages: whole, by groups, of a group, and around a node; never more than `MAX_NODES` nodes."""

import re
from urllib.parse import quote

import httpx2
import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.pictures import JOBS_OF_PART, MAX_NODES
from tests.support.registry.harness import Registry, Session, digest, job, link, succeeded, uid
from tests.support.registry.indexing import index_all
from tests.support.registry.planted import Planted, plant
from tests.unit.registry.test_costs import counted

pytestmark = pytest.mark.anyio

ATTACK = """"'><script>alert(1)</script></svg><img src=x onerror=alert(2)>"""
NAME = ATTACK.replace(" ", "/")
"""As a uid or digest, which have no spaces."""


def nodes(page: httpx2.Response, kind: str = "") -> list[str]:
    """What the nodes of a page's picture are called, those of one kind or all."""
    assert page.status_code == 200, page.text
    return re.findall(rf'<a class="node {kind}[^>]*aria-label="([^"]*)"', page.text)


def edges(page: httpx2.Response) -> int:
    (drawn,) = re.findall(r'<g class="edges"[^>]*>(.*?)</g>', page.text)
    return str(drawn).count("<path")


async def chain(session: Session, jobs: int) -> None:
    """Jobs that each read what the one before wrote, and a file that all of them read."""
    await session.add_jobs(*(job(number) for number in range(jobs)))
    for number in range(jobs):
        await session.add_links(number, "inputs", link(10_000, "/src/common.py"), link(number))
        await session.add_links(number, "outputs", link(number + 1))


async def test_a_small_lineage_is_drawn_whole(registry: Registry) -> None:
    session = await registry.open()
    await chain(session, 3)
    await session.add_jobs(job(3, command="python last.py", exit_code=2))
    address = f"/dag/{(await session.finalize())['hash']}"
    page = await registry.client.get(address)
    assert nodes(page, "job") == [
        "Job: python step0.py, step 0",
        "Job: python step1.py, step 1",
        "Job: python step2.py, step 2",
        "Job: python last.py, step 3, exit 2",
    ]
    assert nodes(page, "artifact")[1:3] == [f"Artifact: common.py, {digest(10_000)}", f"Artifact: file1, {digest(1)}"]
    assert edges(page) == 9
    assert "<title id=" in page.text
    assert "<desc id=" in page.text
    assert f'href="{address}/jobs/{uid(1)}"' in page.text
    assert f'href="/artifacts/{digest(1)}"' in page.text


async def test_a_large_lineage_shows_the_jobs_of_the_page_until_it_is_indexed(registry: Registry, store: Store) -> None:
    jobs = [Planted(f"python step{number}.py", (number,), (number + 1,)) for number in range(MAX_NODES)]
    address = f"/dag/{plant(store, 0, jobs)}"
    first, second = [nodes(await registry.client.get(f"{address}?page={page}"), "job") for page in (1, 2)]
    assert first[0] == "Job: python step0.py, step 0"
    assert second[0] == "Job: python step50.py, step 50"
    index_all(store)
    assert nodes(await registry.client.get(f"{address}?page=2"), "job") == []


async def test_a_large_lineage_is_drawn_by_programs(registry: Registry, store: Store) -> None:
    count = MAX_NODES
    fetched = [Planted(f"python fetch.py {number}", (), (number,)) for number in range(count)]
    sorted_ = [Planted(f"/bin/sort -n {number}", (number,)) for number in range(count)]
    address = f"/dag/{plant(store, 0, fetched + sorted_)}"
    index_all(store)
    page = await registry.client.get(address)
    assert nodes(page) == [
        f"Group of jobs: python fetch.py, {count} jobs, steps 0 to {count - 1}",
        f"Group of jobs: sort, {count} jobs, steps {count} to {2 * count - 1}",
    ]
    assert edges(page) == 1
    (number,) = re.findall(r"\?group=(\d+)#picture\" aria-label=\"Group of jobs: sort", page.text)
    shown: list[str] = []
    for part in range(1, count // JOBS_OF_PART + 1):
        page = await registry.client.get(f"{address}?group={number}&part={part}")
        shown += nodes(page, "job")
        assert len(nodes(page)) <= MAX_NODES
        assert ("Next part" in page.text) is (part < count // JOBS_OF_PART)
    assert shown == [f"Job: /bin/sort -n {number}, step {count + number}" for number in range(count)]
    past = await registry.client.get(f"{address}?group={number}&part=99")
    assert past.status_code == 404
    assert (await registry.client.get(f"{address}?group=59")).status_code == 404


async def test_jobs_without_a_step_are_grouped(registry: Registry, store: Store) -> None:
    session = await registry.open()
    count = MAX_NODES // 2
    steps: dict[str, list[int | None]] = {"none": [None] * count, "some": [None, *range(1, count)], "one": [7] * count}
    for program, numbers in steps.items():
        await session.add_jobs(
            *(
                job(number, job_uid=f"{program}{number}", command=f"{program} {number}", step_number=step)
                for number, step in enumerate(numbers)
            )
        )
    address = f"/dag/{(await session.finalize())['hash']}"
    index_all(store)
    assert sorted(nodes(await registry.client.get(address))) == [
        f"Group of jobs: none, {count} jobs, no step",
        f"Group of jobs: one, {count} jobs, step 7",
        f"Group of jobs: some, {count} jobs, no step to step {count - 1}",
    ]


async def test_the_neighbourhood_of_a_node_is_drawn(registry: Registry, store: Store) -> None:
    address = f"/dag/{plant(store, 0, links_in_a_row(MAX_NODES + 50))}"
    index_all(store)
    page = await registry.client.get(f"{address}?node={uid(30)}")
    assert "Job: python same.py, step 30" in nodes(page, "job")
    assert f"Artifact: file30.bin, {digest(30)}" in nodes(page, "artifact")
    assert f"Artifact: file31.bin, {digest(31)}" in nodes(page, "artifact")
    assert len(re.findall('aria-current="true"', page.text)) == 1
    page = await registry.client.get(f"{address}?node={digest(10_000)}")
    assert len(nodes(page)) <= MAX_NODES
    assert len(nodes(page, "job")) >= 60
    assert re.search(r"Show \d+ more around this artifact", page.text)
    for unknown in (uid(10_000), digest(99_999), ATTACK):
        gone = await registry.client.get(address, params={"node": unknown})
        assert gone.status_code == 404
        assert "<script" not in gone.text


async def test_a_job_with_a_thousand_outputs_and_a_file_with_many_readers_are_bounded(
    registry: Registry, store: Store
) -> None:
    readers = [Planted("python read.py", (5,), range(2000 + 10 * n, 2010 + 10 * n)) for n in range(300)]
    address = f"/dag/{plant(store, 0, [Planted('split', (), range(1000)), *readers])}"
    index_all(store)
    drawn: list[int] = []
    for place in ("", f"?node={uid(0)}", f"?node={digest(5)}", "?group=1", "?group=2", "?group=60"):
        page = await registry.client.get(address + place)
        assert page.status_code in (200, 404)
        count = len(re.findall('<a class="node', page.text))
        assert count <= MAX_NODES
        drawn.append(count)
    assert drawn.count(MAX_NODES) >= 2


async def test_hostile_texts_are_drawn_as_texts(registry: Registry, store: Store) -> None:
    session = await registry.open()
    command = f"{ATTACK} \x1b[31m \u202e{ATTACK}"
    await session.add_jobs(job(1, command=command, job_uid=NAME, job_type=ATTACK, git_branch=ATTACK))
    await session.add_jobs(job(2, metadata=ATTACK, parent_job_uid=NAME))
    await session.add_links(2, "outputs", {"hash": NAME, "path": f"/{ATTACK}/{ATTACK}"})
    lineage_hash = (await session.finalize(git_repo=ATTACK, git_branch=ATTACK))["hash"]
    labels = [
        {"entity_type": "dag", "session_hash": lineage_hash, "metadata": {ATTACK: {ATTACK: [ATTACK]}}},
        {"entity_type": "artifact", "artifact_hash": NAME, "session_hash": lineage_hash, "metadata": {ATTACK: ATTACK}},
        {"entity_type": "job", "job_uid": NAME, "session_hash": lineage_hash, "metadata": {ATTACK: ATTACK}},
    ]
    succeeded(await session.post("/labels/batch", {"labels": labels}))
    index_all(store)
    name, text = quote(NAME, safe=""), quote(ATTACK, safe="")
    for path in (
        f"/dag/{lineage_hash}",
        f"/dag/{lineage_hash}?node={name}",
        f"/dag/{lineage_hash}/jobs/{name}",
        f"/dag/{lineage_hash}/jobs/{uid(2)}",
        f"/artifacts/{name}",
        f"/impact?digest={name}",
        f"/search?q={text}&kind={text}",
        "/search?q=script",
        f"/repository?name={text}",
        f"/owner?name={text}",
        f"/project?name={text}&visibility={text}",
        "/",
    ):
        page = await registry.client.get(path)
        assert page.status_code == 200, (path, page.text)
        assert "alert" in page.text or path.startswith(("/project", "/owner")), path
        for live in ("<script", "<img", "onerror=alert(2)>", "\"'>"):
            assert live not in page.text, path
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(r"(?:src|href|action)=[\"']?(?:https?:)?//", page.text), "no other host"


async def test_what_a_picture_costs_does_not_grow_with_the_lineage(registry: Registry, store: Store) -> None:
    costs: list[list[int]] = []
    for number, jobs in enumerate((300, 900)):
        address = f"/dag/{plant(store, number, links_in_a_row(jobs))}"
        index_all(store)
        costs.append([])
        for place in ("", f"?node={uid(number * 1_000_000 + 77)}", f"?node={digest(10_000)}", "?group=1"):
            with counted(store) as steps:
                assert (await registry.client.get(address + place)).status_code == 200
            costs[-1].append(steps.taken)
    assert [large < 1.5 * small for small, large in zip(*costs, strict=True)] == [True] * 4


def links_in_a_row(jobs: int) -> list[Planted]:
    """Jobs that each read what the one before wrote, and a file that all of them read."""
    return [Planted("python same.py", (number, 10_000), (number + 1,)) for number in range(jobs)]
