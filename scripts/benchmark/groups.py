"""The figures of the table, in groups that can be measured one by one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from statistics import median

from benchmark.checkpoints import submits
from benchmark.daemon import idle_daemon
from benchmark.download import measure_downloads
from benchmark.ingest import ingest
from benchmark.measure import Cost
from benchmark.pauses import longest_pause
from benchmark.publishing import DELAYS, PUBLISH, ROAR_CLI, Bench, setting
from benchmark.resuming import first_request, resuming
from benchmark.startup import startup
from benchmark.table import Figure, memory, ratio
from benchmark.upload import LARGE_BYTES, SERVERS, SMALL_FILES, Files, measure_null_store, measure_uploads
from benchmark.workers import workers

REPETITIONS = 3
SIGNING_REPETITIONS = 5
"""The same, where a few per cent are looked for."""
FEW_JOBS = 5
FEW_JOBS_REPETITIONS = 5
MANY_JOBS = 1_000
"""From so many on, roar-cli takes minutes and runs once; its time is set beside each run of ours."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Jobs of the projects, and what is uploaded."""

    jobs: int = 1_000
    small: int = 100
    resumed: int = 10_000
    large: int = 100_000
    large_bytes: int = LARGE_BYTES
    small_files: int = SMALL_FILES
    store: str = "rclone"
    checkpoint_bytes: int = 200_000_000


FULL = Sizes()
QUICK = Sizes(
    jobs=100,
    small=10,
    resumed=1_000,
    large=10_000,
    large_bytes=LARGE_BYTES // 10,
    small_files=200,
    checkpoint_bytes=20_000_000,
)
"""A tenth of everything."""


def whole_publish(bench: Bench, sizes: Sizes) -> list[Figure]:
    """A whole publish, beside the bare loop and beside roar-cli."""
    figures = []
    for jobs, delay in dict.fromkeys([*((sizes.jobs, delay) for delay in DELAYS), (sizes.small, 0.0)]):
        quick = {"ours": PUBLISH, "bare": bench.bare_loop(jobs)}
        if jobs < MANY_JOBS:
            costs = bench.in_turn(quick | {"roar-cli": ROAR_CLI}, jobs, delay, REPETITIONS)
        else:
            costs = bench.in_turn(quick, jobs, delay, REPETITIONS)
            costs["roar-cli"] = [bench.client(ROAR_CLI, jobs, delay)]
        figures += _beside_others(setting(jobs, delay), costs)
        if jobs == sizes.jobs:
            small = [bench.small_requests(PUBLISH, jobs, delay) for _ in range(REPETITIONS)]
            figures.append(_of_roar_cli(f"{setting(jobs, delay)}, no links_batch", costs["roar-cli"], small))
    few_jobs = bench.in_turn({"ours": PUBLISH, "roar-cli": ROAR_CLI}, FEW_JOBS, 0.0, FEW_JOBS_REPETITIONS)
    name = f"{setting(FEW_JOBS, 0.0)}: `roar publish` to roar-cli's `register`"
    detail = "ours {over}, roar-cli {under}"
    return [*figures, ratio(name, "publish", few_jobs["ours"], few_jobs["roar-cli"], "lower", detail)]


def _beside_others(size: str, costs: Mapping[str, list[Cost]]) -> list[Figure]:
    ours, bare = costs["ours"], costs["bare"]
    return [
        _of_roar_cli(size, costs["roar-cli"], ours),
        ratio(f"{size}: `roar publish` to the bare loop", "publish", ours, bare, "lower", "ours {over}, bare {under}"),
        memory(f"{size}: memory of `roar publish`", "publish", ours),
    ]


def _of_roar_cli(size: str, roar_cli: Sequence[Cost], ours: Sequence[Cost]) -> Figure:
    detail = "roar-cli {over}, ours {under}"
    return ratio(f"{size}: roar-cli's `register` to `roar publish`", "publish", roar_cli, ours, "higher", detail)


def signing(bench: Bench, sizes: Sizes) -> list[Figure]:
    """The same publish without a credential and with an SSH key: what signing every request adds."""
    figures = []
    for delay in DELAYS:
        anonymous, signed = bench.signing(sizes.jobs, delay, SIGNING_REPETITIONS)
        name = f"{setting(sizes.jobs, delay)}: publish signed by an SSH key, to an anonymous one"
        figures.append(ratio(name, "signing", signed, anonymous, "lower", "signed {over}, anonymous {under}"))
    return figures


def large(bench: Bench, sizes: Sizes) -> list[Figure]:
    """The largest project that is promised, and how the time grows up to it."""
    tenth = [bench.client(PUBLISH, sizes.large // 10, 0.0) for _ in range(REPETITIONS)]
    whole = [bench.client(PUBLISH, sizes.large, 0.0)]
    first = first_request(bench, sizes.large, sizes.resumed)
    bench.forget(sizes.large)
    size = setting(sizes.large, 0.0)
    return [
        ratio(f"{size}: to a tenth of the jobs", "large", whole, tenth, "lower", "all {over}, a tenth {under}"),
        memory(f"{size}: memory of `roar publish`", "large", whole),
        first,
        longest_pause(bench, sizes.resumed),
    ]


def uploads(bench: Bench, sizes: Sizes) -> list[Figure]:
    """`roar put` beside boto3."""
    folder = bench.next_folder()
    folder.mkdir()
    files = Files(sizes.large_bytes, sizes.small_files)
    figures = _beside_null_store(folder / "null", sizes.large_bytes, bench)
    for size, costs in measure_uploads(folder, DELAYS, SERVERS[sizes.store], files, bench.say):
        ours, boto3 = costs["roar put"], costs["boto3"]
        size = f"{size}, {sizes.store}"
        figures += [
            ratio(f"{size}: boto3 to `roar put`", "upload", boto3, ours, "higher", "boto3 {over}, ours {under}"),
            memory(f"{size}: memory of `roar put`", "upload", ours),
        ]
    return figures


def downloads(bench: Bench, sizes: Sizes) -> list[Figure]:
    """`roar fetch` beside boto3."""
    folder = bench.next_folder()
    folder.mkdir()
    figures = []
    for size, costs in measure_downloads(folder, Files(sizes.large_bytes, sizes.small_files), bench.say):
        ours, boto3 = costs["roar fetch"], costs["boto3"]
        figures += [
            ratio(f"{size}: boto3 to `roar fetch`", "download", boto3, ours, "higher", "boto3 {over}, ours {under}"),
            memory(f"{size}: memory of `roar fetch`", "download", ours),
        ]
    return figures


def _beside_null_store(folder: Path, size: int, bench: Bench) -> list[Figure]:
    found = measure_null_store(folder, size, bench.say)
    ours, other = found.costs["roar put"], found.costs[found.fastest]
    detail = f"{found.fastest} {{over}}, ours {{under}}, the store {median(found.store_cpu):.2g} s of CPU"
    name = f"{found.setting}: the fastest of boto3's clients to `roar put`"
    return [
        ratio(name, "upload", other, ours, "higher", detail),
        memory(f"{found.setting}: memory of `roar put`", "upload", ours),
    ]


def daemon(bench: Bench, sizes: Sizes) -> list[Figure]:
    """A daemon at rest. It rests as long whatever the size."""
    folder = bench.next_folder()
    folder.mkdir()
    watched = [row for row in idle_daemon(folder, bench.say) if not isnan(row.cpu)]
    figures = []
    for when in dict.fromkeys(row.when for row in watched):
        rows = [row for row in watched if row.when == when]
        name = f"a daemon at rest, {when}"
        own = f"{rows[-1].own:.3g} MiB that no other process shares"
        figures += [
            Figure(f"{name}: share of a core", "daemon", tuple(row.cpu for row in rows), "%", "lower"),
            Figure(f"{name}: memory", "daemon", tuple(row.resident for row in rows), "MiB", "lower", own),
        ]
    return figures


@dataclass(frozen=True, slots=True)
class Group:
    """Figures that are measured together, and what `--help` says of them."""

    measure: Callable[[Bench, Sizes], list[Figure]]
    help: str


GROUPS: Mapping[str, Group] = {
    "publish": Group(whole_publish, "a whole publish beside roar-cli and the bare loop"),
    "startup": Group(lambda bench, sizes: startup(bench), "time to the first request, and modules loaded"),
    "resume": Group(lambda bench, sizes: resuming(bench, sizes.resumed), "a resume at 90 %% beside a whole publish"),
    "ingest": Group(lambda bench, sizes: ingest(bench, sizes.jobs), "the registry beside a bare Starlette loop"),
    "workers": Group(lambda bench, sizes: workers(bench, sizes.jobs), "workers on PostgreSQL beside one (needs it)"),
    "signing": Group(signing, "an SSH key beside no credential"),
    "large": Group(large, "100,000 jobs: memory, how the time grows, a resume's start; waits during finalize"),
    "upload": Group(uploads, "`roar put` beside boto3"),
    "download": Group(downloads, "`roar fetch` beside boto3"),
    "checkpoints": Group(
        lambda bench, sizes: submits(bench.next_folder(), sizes.checkpoint_bytes, bench.say),
        "a training that submits checkpoints faster than a slow link carries them",
    ),
    "daemon": Group(daemon, "what a daemon at rest takes (Linux; three minutes)"),
}
"""By the name of their option, in the order of the table."""
