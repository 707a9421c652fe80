"""The registry's pages in a real browser: what is seen, reached by the keyboard, and requested."""

import json
from collections.abc import Iterator

import pytest

from roar_publisher.registry.data import Store
from tests.support.browser import PROGRAM, Browser, browser
from tests.support.registry.harness import digest, uid
from tests.support.registry.indexing import index_all
from tests.support.registry.planted import Planted, plant
from tests.support.registry.processes import served

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here")

ATTACK = "</title></text></svg><script>document.title='owned'</script><img src=http://198.51.100.1/x>"
SMALL = [
    Planted(f"python prepare.py {ATTACK}", (1, 2), (3,)),
    *(Planted(f"python train.py --fold {number}", (3,), (10 + number,)) for number in range(4)),
    Planted("python evaluate.py", (10, 11, 12, 13, 1), (20,)),
]
LARGE = [
    *(Planted(f"python fetch.py {number}", (), (number,)) for number in range(150)),
    *(Planted(f"python clean.py {number}", (number, 900), (number + 1000,)) for number in range(150)),
    Planted("python merge.py", range(1000, 1150), (5000,)),
]


class Pages:
    """Addresses of a registry's pages, and a browser."""

    def __init__(self, url: str, small: str, large: str, tab: Browser) -> None:
        self.url, self.browser = url, tab
        self.small, self.large = f"{url}/dag/{small}", f"{url}/dag/{large}"
        self.all = [
            f"{url}/",
            self.small,
            self.large,
            f"{self.large}?group=1",
            f"{self.large}?node={digest(900)}",
            f"{self.small}/jobs/{uid(1_000_000)}",
            f"{url}/artifacts/{digest(3)}",
            f"{url}/impact?digest={digest(1)}",
            f"{url}/search?q=train",
            f"{url}/sign-in",
            f"{url}/dag/unknown",
        ]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("registry")
    store = Store.open(folder)
    small, large = plant(store, 1, SMALL), plant(store, 2, LARGE)
    index_all(store)
    store.close()
    with served(folder) as url, browser(tmp_path_factory.mktemp("browser")) as tab:
        yield Pages(url, small, large, tab)


def test_no_page_runs_scripts_or_asks_another_host(pages: Pages) -> None:
    tab = pages.browser
    for address in pages.all:
        tab.open(address)
        assert tab.evaluate("document.querySelectorAll('script, img, iframe, link').length") == 0, address
        assert tab.evaluate("document.title") != "owned"
    loaded = [address for address in tab.requests() if not address.startswith("about:")]
    assert len(loaded) >= len(pages.all)
    assert [address for address in loaded if not address.startswith(f"{pages.url}/")] == []
    refused = [text for text in tab.problems() if "404" not in text and "favicon" not in text]
    assert refused == []


@pytest.mark.parametrize("width", [360, 1400])
def test_every_page_fits_its_window(pages: Pages, width: int) -> None:
    tab = pages.browser
    tab.resize(width, 800)
    for address in pages.all:
        tab.open(address)
        assert tab.evaluate("document.scrollingElement.scrollWidth") <= width, address


def test_texts_stay_in_their_nodes_and_nodes_do_not_overlap(pages: Pages) -> None:
    tab = pages.browser
    tab.resize(1400, 900)
    for address in (pages.small, pages.large, f"{pages.large}?group=1"):
        tab.open(address)
        boxes = json.loads(
            tab.evaluate(
                "JSON.stringify([...document.querySelectorAll('a.node')].map(node => {"
                " const box = node.querySelector('rect').getBBox();"
                " const ends = [...node.querySelectorAll('text')].map(text =>"
                " text.getBBox().x + text.getBBox().width);"
                " return [box.x, box.y, box.width, box.height, Math.max(...ends)]; }))"
            )
        )
        assert len(boxes) >= 3
        for x, y, width, height, end in boxes:
            assert end <= width
            others = [box for box in boxes if box[:2] != [x, y]]
            assert len(others) == len(boxes) - 1
            assert not [
                box
                for box in others
                if x < box[0] + box[2] and box[0] < x + width and y < box[1] + box[3] and box[1] < y + height
            ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_stand_out_from_what_is_behind_them(pages: Pages, scheme: str) -> None:
    tab = pages.browser
    tab.prefer(scheme)
    tab.open(pages.small)
    colours = json.loads(
        tab.evaluate(
            "JSON.stringify([['.node text', '.node rect'], ['.node text.note', '.node rect'],"
            " ['.node.artifact text', '.node.artifact rect'], ['h1', 'body'], ['a', 'body']].map(([text, behind]) => {"
            " const front = getComputedStyle(document.querySelector(text));"
            " const back = getComputedStyle(document.querySelector(behind));"
            " return [text.includes('text') ? front.fill : front.color,"
            " behind.includes('rect') ? back.fill : back.backgroundColor]; }))"
        )
    )
    for front, behind in colours:
        assert contrast(front, behind) >= 4.5, (front, behind)
    dark = luminance(tab.evaluate("getComputedStyle(document.body).backgroundColor")) < 0.2
    assert dark is (scheme == "dark")


def test_the_keyboard_reaches_every_node_and_opens_it(pages: Pages) -> None:
    tab = pages.browser
    tab.open(pages.small)
    count = tab.evaluate("document.querySelectorAll('a.node').length")
    reached: list[str] = []
    for _ in range(200):
        tab.press("Tab")
        label = tab.evaluate("document.activeElement.closest('a.node') && document.activeElement.ariaLabel")
        if label:
            reached.append(label)
            assert tab.evaluate("getComputedStyle(document.activeElement.querySelector('rect')).strokeWidth") == "4px"
        elif reached:
            break
    assert len(set(reached)) == count
    tab.open(pages.small)
    while not (tab.evaluate("document.activeElement.ariaLabel") or "").startswith("Job: python evaluate.py"):
        tab.press("Tab")
    seen = len(tab.events)
    tab.press("Enter")
    tab.wait_for_page(seen)
    assert tab.evaluate("location.pathname").endswith(f"/jobs/{uid(1_000_005)}")


def test_a_group_and_a_node_open_on_a_click(pages: Pages) -> None:
    tab = pages.browser
    tab.resize(1400, 900)
    tab.open(pages.large)
    assert tab.evaluate("document.querySelectorAll('a.node.group').length") == 3

    def click(selector: str) -> None:
        seen = len(tab.events)
        script = "dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true, view: window}))"
        tab.evaluate(f"document.querySelector({json.dumps(selector)}).{script}")
        tab.wait_for_page(seen)

    click("a.node.group[aria-label*='clean.py']")
    assert tab.evaluate("document.querySelectorAll('a.node.job').length") == 40
    click("a.node.job")
    assert tab.evaluate("document.querySelector('h1').textContent") == "Step 150"
    click("a[href*='node=']")
    assert tab.evaluate("document.querySelector('a.node.centre').ariaLabel").startswith("Job: python clean.py 0")
    click("a.more")
    assert "node=" in tab.evaluate("location.search")


def test_a_picture_has_a_name_and_a_description(pages: Pages) -> None:
    tab = pages.browser
    tab.open(pages.small)
    tree = tab.send("Accessibility.getFullAXTree")["nodes"]
    (node,) = [each for each in tree if each.get("name", {}).get("value", "").startswith("Graph of")]
    assert "edges, from left to right" in node["description"]["value"]
    links = [each["name"]["value"] for each in tree if each["role"]["value"] == "link"]
    assert "Job: python evaluate.py, step 5" in links


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, as WCAG 2 defines it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """The luminance of a colour such as `rgb(1, 2, 3)`."""
    parts = [float(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
