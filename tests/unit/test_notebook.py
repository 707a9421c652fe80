"""What a progress bar shows of each event, without a kernel."""

import sys
from typing import Any

import pytest

from roar_publisher import errors, events
from roar_publisher.integrations.notebook import ProgressBar


def progress(unit: str, seconds_left: float | None = None) -> events.ProgressEvent:
    return events.ProgressEvent(
        state="stage", done=2000, total=4000, unit=unit, per_second=None, seconds_left=seconds_left
    )


def html(bar: Any) -> str:
    return str(bar._repr_html_())


def test_each_event_is_shown() -> None:
    bar = ProgressBar()
    bar(progress("items", 8.0))
    assert html(bar) == '<progress value="2000" max="4000"></progress> stage: 2,000 of 4,000 items, 8 s left'
    bar(progress("bytes"))
    assert html(bar).endswith(" stage: 2 kB of 4 kB")
    bar(events.WaitingEvent(reason="offline", seconds=4.0))
    assert html(bar).endswith(" waiting at most 4 s: offline")
    bar(events.StateEvent(publish_id="12345678", state="finalize", because=None))
    assert html(bar) == "<progress ></progress> finalize"


def test_a_text_of_a_server_is_no_markup() -> None:
    bar = ProgressBar()
    bar(events.NoteEvent(text="<script>x</script>"))
    assert "<script>" not in html(bar)
    assert "&lt;script&gt;" in html(bar)


@pytest.mark.parametrize(("url", "link"), [('https://x/"><b>', True), ("javascript:alert(1)", False), (None, False)])
def test_what_is_published_is_linked_if_it_has_a_web_address(url: str | None, link: bool) -> None:
    bar = ProgressBar()
    bar(
        events.Published(
            hash="ab",
            url=url,
            jobs=1,
            inputs=0,
            outputs=1,
            publish_id="12345678",
            visibility="public",
            identity="glaas:user:alice",
            owner=None,
            project=None,
            destination=None,
            files=0,
            bytes=0,
        )
    )
    text = '<a href="https://x/&quot;&gt;&lt;b&gt;">published ab</a>' if link else "published ab"
    assert html(bar) == f'<progress value="1" max="1"></progress> {text}'


def test_without_ipython_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(errors.UsageProblem, match="IPython"):
        ProgressBar()
