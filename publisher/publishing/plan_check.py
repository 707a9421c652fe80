"""Compares what is typed beside `--resume` or `--watch` with the frozen plan of a publish.

Users often recall the previous command and add `--resume`. Options that agree with the frozen plan are accepted. For
a contradiction, the error names what was frozen.
"""

import json
import os
import shlex
from collections.abc import Iterator

from roar_publisher.net.address import registry_address
from roar_publisher.publishing.order import Order
from roar_publisher.state.errors import PublisherError, UsageProblem
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.record import Plan
from roar_publisher.storage.addresses import Destination, parse_destination


def contradictions(order: Order, plan: Plan, paths: PublishPaths) -> list[str]:
    """Return each contradiction, such as `public, not --private`. Empty if everything agrees.

    Options that were not typed agree with everything. The registry is checked by `other_registry`.
    """
    return list(_contradictions(order, plan, paths))


def other_registry(order: Order, plan: Plan) -> str | None:
    """Return the address that `--registry` names if it differs from the publish's.

    Raises UsageProblem for a bad one.
    """
    if order.registry is None:
        return None
    typed = registry_address(order.registry, os.environ)
    return None if typed == plan.registry else typed


def differences(order: Order, plan: Plan, paths: PublishPaths) -> list[str]:
    """Return the same as `contradictions`, including the registry."""
    registry = other_registry(order, plan)
    return contradictions(order, plan, paths) + ([f"{plan.registry}, not {registry}"] if registry else [])


def contradiction_error(plan: Plan, found: list[str], *, verb: str) -> UsageProblem:
    """Return the error that names what was frozen, and the command that continues with it."""
    problem = UsageProblem(
        f"publish {plan.id} was planned for {', and for '.join(found)}",
        kept="Its plan is not changed.",
        next_step=f"roar publish {verb} {plan.id}; to publish what you typed, repeat the command without {verb}",
    )
    problem.publish_id = plan.id
    return problem


def typed_command(order: Order) -> str:
    """Return the command that publishes what was typed, without `--resume`."""
    words = ["roar", "publish"]
    if order.put is not None:
        words = ["roar", "put", *order.put.sources, order.put.destination, "-m", order.put.message]
    elif order.target is not None:
        words.append(order.target)
    words += [order.flag.value] if order.flag.value else []
    words += ["--registry", order.registry] if order.registry else []
    return shlex.join(words)


def _contradictions(order: Order, plan: Plan, paths: PublishPaths) -> Iterator[str]:
    target = order.target
    if order.put is not None:
        target = shlex.join(order.put.sources) or None
        if plan.destination is None:
            yield "lineage only, not for a put"
        elif _place(order.put.destination) != parse_destination(plan.destination):
            yield f"{plan.destination}, not {order.put.destination}"
        elif (message := _message(paths)) not in (None, order.put.message):
            yield f"-m {shlex.quote(message or '')}, not -m {shlex.quote(order.put.message)}"
        elif order.put.tag is False and plan.tags:
            yield f"the git tag {plan.tags[0][0]}, not --no-tag"
    if order.no_redact and plan.redactions:
        yield "redacted texts, not --no-redact"
    if target is not None and target != plan.target:
        yield f"{plan.target or 'the whole session'}, not {target}"
    frozen = plan.intent.get("flag", "")
    if order.flag.value and order.flag.value != frozen:
        yield f"{frozen or 'the scope of the repository'}, not {order.flag.value}"


def _place(destination: str) -> Destination:
    """Return what is typed as a destination. Raises UsageProblem if it is not one."""
    return parse_destination(destination if "://" in destination else os.path.abspath(destination))


def _message(paths: PublishPaths) -> str | None:
    """Return the message of the put, or None if it is no longer known."""
    try:
        text = paths.read_put_record()
        message = json.loads(json.loads(text)["kept"])["put"]["message"] if text is not None else None
    except (PublisherError, ValueError, TypeError, KeyError):
        return None
    return message if isinstance(message, str) else None
