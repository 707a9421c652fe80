"""Compares what is typed beside `--resume` or `--watch` with the frozen plan of a publish.

Users often recall the previous command and add `--resume`. Options that agree with the frozen plan are accepted. For
a contradiction, the error names what was frozen.
"""

import json
import os
import shlex
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from roar_publisher.cli.publish.options import Options
from roar_publisher.net.address import registry_address
from roar_publisher.state.errors import PublisherError, UsageProblem
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.record import Plan


def contradictions(options: Options, plan: Plan, paths: PublishPaths) -> list[str]:
    """Return each contradiction, such as `public, not --private`. Empty if everything agrees.

    Options that were not typed agree with everything. The registry is checked by `other_registry`.
    """
    return list(_contradictions(options, plan, paths))


def other_registry(options: Options, plan: Plan) -> str | None:
    """Return the address that `--registry` names if it differs from the publish's.

    Raises UsageProblem for a bad one.
    """
    if options.registry is None:
        return None
    typed = registry_address(options.registry, os.environ)
    return None if typed == plan.registry else typed


def differences(options: Options, plan: Plan, paths: PublishPaths) -> list[str]:
    """Return the same as `contradictions`, including the registry."""
    registry = other_registry(options, plan)
    return contradictions(options, plan, paths) + ([f"{plan.registry}, not {registry}"] if registry else [])


def contradiction_error(plan: Plan, found: list[str], *, verb: str) -> UsageProblem:
    """Return the error that names what was frozen, and the command that continues with it."""
    problem = UsageProblem(
        f"publish {plan.id} was planned for {', and for '.join(found)}",
        kept="Its plan is not changed.",
        next_step=f"roar publish {verb} {plan.id}; to publish what you typed, repeat the command without {verb}",
    )
    problem.publish_id = plan.id
    return problem


def typed_command(options: Options) -> str:
    """Return the command that publishes what was typed, without `--resume`."""
    words = ["roar", "publish"]
    if options.put is not None:
        words = ["roar", "put", *options.put.sources, options.put.destination, "-m", options.put.message]
    elif options.target is not None:
        words.append(options.target)
    words += [options.flag.value] if options.flag.value else []
    words += ["--registry", options.registry] if options.registry else []
    return shlex.join(words)


def _contradictions(options: Options, plan: Plan, paths: PublishPaths) -> Iterator[str]:
    target = options.target
    if options.put is not None:
        target = shlex.join(options.put.sources) or None
        if plan.destination is None:
            yield "lineage only, not for a put"
        elif _place(options.put.destination) != _place(plan.destination):
            yield f"{plan.destination}, not {options.put.destination}"
        elif (message := _message(paths)) not in (None, options.put.message):
            yield f"-m {shlex.quote(message or '')}, not -m {shlex.quote(options.put.message)}"
    if target is not None and target != plan.target:
        yield f"{plan.target or 'the whole session'}, not {target}"
    frozen = plan.intent.get("flag", "")
    if options.flag.value and options.flag.value != frozen:
        yield f"{frozen or 'the scope of the repository'}, not {options.flag.value}"


def _place(destination: str) -> str:
    """Return the normal form of a destination."""
    parts = urlsplit(destination)
    if parts.scheme in ("", "file"):
        return os.path.abspath(unquote(parts.path))
    return f"{parts.scheme}://{parts.netloc}/{parts.path.strip('/')}"


def _message(paths: PublishPaths) -> str | None:
    """Return the message of the put, or None if it is no longer known."""
    try:
        text = paths.read_put_record()
        message = json.loads(json.loads(text)["kept"])["put"]["message"] if text is not None else None
    except (PublisherError, ValueError, TypeError, KeyError):
        return None
    return message if isinstance(message, str) else None
