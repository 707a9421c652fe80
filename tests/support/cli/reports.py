"""What the displays of a run are fed with in tests: a clock that is set by hand, a plan, and reports."""

from roar_publisher.state.record import Plan

PLAN = Plan(
    id="12ab34cd",
    created_at=1_700_000_000.0,
    project="/project",
    roar_db="/project/.roar/roar.db",
    target=None,
    registry="https://registry.example",
    intent={},
    digest="d" * 64,
    fingerprint="d" * 64,
    local_session=1,
    git_repo=None,
    git_commit=None,
    git_branch=None,
    jobs=1_500,
    inputs=7_500,
    outputs=7_500,
    artifacts=7_505,
    labels=0,
    provisional={"anonymous": "a" * 64},
    redactions={},
)


class HandClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
