"""The public names, their arguments and fields: semantic versioning counts exactly these."""

import inspect
import pickle
import subprocess
import sys
from dataclasses import fields

import pytest

import roar_publisher
from roar_publisher import aio, api, errors, events
from tests.support.processes import environment

FUNCTIONS = {
    "publish": "project='.', target=None, *, visibility, registry=None, detach=False, yes=False, redact=True,"
    " follow_links=False, verify=None, on_progress=None",
    "put": "sources, destination, message, *, visibility, project='.', registry=None, name=None, tag=None, again=False,"
    " dataset=False, detach=False, yes=False, redact=True, follow_links=False, verify=None,"
    " on_progress=None",
    "resume": "publish_id, *, registry=None, detach=False, yes=False, on_progress=None",
    "fetch": "lineage, files=(), to='.', *, force=False, registry=None, on_progress=None",
    "publishes": "project=None",
    "cancel": "publish_id",
    "retry": "publish_id",
    "watch": "publish_id",
}
CHECKPOINTS = (
    "destination, *, visibility, project='.', registry=None, every=1, keep=0, best=None, mode='min',"
    " max_pending_bytes=None, on_skip=None, message='checkpoint', start_daemon=True, yes=False",
    "self, files, *, step, metrics=None, pin=False",
    "self",
    "self, *, wait=0.0",
)
CHECKPOINT = "name step state metrics pinned size destination publish_id detail hash url"
STATUS = (
    "publish_id status state reason detail next_step project target registry destination percent jobs inputs outputs"
    " owner detached parked created_at updated_at next_attempt owed hash url"
)
EVENTS = {
    "PlannedEvent": "publish_id resumed registry target destination jobs inputs outputs artifacts labels redactions",
    "StateEvent": "publish_id state because",
    "ProgressEvent": "state done total unit per_second seconds_left",
    "StoredEvent": "key bytes sent",
    "WaitingEvent": "reason seconds",
    "RetryingEvent": "what attempt seconds",
    "NoteEvent": "text",
    "Published": "hash url jobs inputs outputs publish_id visibility identity owner project destination files bytes"
    " receipt verification",
    "DetachedEvent": "publish_id resumed watch",
    "ErrorEvent": "what kept next reason exit_code publish_id",
}
FETCH_EVENTS = {
    "FetchedEvent": "path digest url bytes",
    "PresentEvent": "path digest url",
    "FailedEvent": "path digest url why next",
    "ProgressEvent": "state done total unit per_second seconds_left",
    "WaitingEvent": "reason seconds",
    "RetryingEvent": "what attempt seconds",
    "Fetched": "folder fetched present failed bytes",
}
ERRORS = (
    "Cancelled Conclusion Differing Failed Halted Interrupted LocalProblem NeedsUser NotStarted Owned PublisherError"
    " Reason Rejected Transient Unconfirmed Unfinished UsageProblem"
)


def arguments(function: object) -> str:
    """The arguments of a function with their defaults, without their types."""
    assert callable(function)
    signature = inspect.signature(function)
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)).replace('"', "'")[1:-1]


def test_the_module_offers_exactly_the_public_names() -> None:
    others = ["CheckpointStatus", "CheckpointPublisher", "Fetched", "Published", "PublishStatus", "errors", "events"]
    assert sorted(roar_publisher.__all__) == sorted([*FUNCTIONS, *others])
    for name in roar_publisher.__all__:
        assert getattr(roar_publisher, name) is not None
        assert name in dir(roar_publisher)
    assert sorted(api.__all__) == sorted(aio.__all__) == sorted(FUNCTIONS)
    with pytest.raises(AttributeError, match="no attribute 'unpublish'"):
        roar_publisher.unpublish  # noqa: B018


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_keeps_its_arguments_and_so_does_its_twin(name: str) -> None:
    assert arguments(getattr(roar_publisher, name)) == FUNCTIONS[name]
    assert arguments(getattr(aio, name)) == FUNCTIONS[name]
    assert getattr(roar_publisher, name).__doc__


def test_the_checkpoint_publisher_keeps_its_arguments() -> None:
    publisher = roar_publisher.CheckpointPublisher
    methods = (publisher, publisher.submit, publisher.checkpoints, publisher.close)
    assert tuple(map(arguments, methods)) == CHECKPOINTS
    assert all(method.__doc__ for method in methods)


def test_what_is_returned_keeps_its_fields() -> None:
    assert [each.name for each in fields(roar_publisher.CheckpointStatus)] == CHECKPOINT.split()
    assert [each.name for each in fields(roar_publisher.PublishStatus)] == STATUS.split()
    for union, expected in ((events.Event, EVENTS), (events.FetchEvent, FETCH_EVENTS)):
        kinds = {kind.__name__: kind for kind in union.__args__}
        assert {name: " ".join(each.name for each in fields(kind)) for name, kind in kinds.items()} == expected
    assert roar_publisher.Published is events.Published


def test_the_errors_are_one_tree_with_the_documented_fields() -> None:
    assert errors.__all__ == ERRORS.split()
    for name in set(errors.__all__) - {"Conclusion", "Reason", "PublisherError"}:
        assert issubclass(getattr(errors, name), errors.PublisherError)
    error = errors.PublisherError("w", kept="k", next_step="n")
    assert (error.what, error.kept, error.next_step, error.reason, error.publish_id) == ("w", "k", "n", "failed", "")


def test_an_error_passes_between_processes_with_all_that_it_says() -> None:
    cause = errors.Transient("no connection", next_step="check the cable", retry_after=3.0)
    error = errors.Unfinished(cause, "12345678", movable=True)
    copies = [pickle.loads(pickle.dumps(each)) for each in (cause, error)]
    assert [type(each) for each in copies] == [errors.Transient, errors.Unfinished]
    assert [each.__dict__ for each in copies] == [cause.__dict__, error.__dict__]
    assert [str(each) for each in copies] == [str(cause), str(error)]


def test_nothing_is_imported_until_it_is_used() -> None:
    code = (
        "import sys; before = set(sys.modules); import roar_publisher;"
        "print(*sorted(set(sys.modules) - before));"
        "roar_publisher.events; print(*sorted(m for m in sys.modules if m.startswith('roar_publisher.')));"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    forks = "roar_publisher.state roar_publisher.state.forks"  # forks by other threads wait for the import
    assert done.stdout.splitlines() == ["roar_publisher", f"roar_publisher.events {forks}"]
