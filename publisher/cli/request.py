"""From the command line and the folder that it was typed in to a `plans.Request`, and to the choice it leads to."""

from collections.abc import Mapping
from pathlib import Path

from publisher.auth.choice import Capabilities, Choice, Credentials, Decision
from publisher.auth.decide import decide
from publisher.auth.scope import Scope
from publisher.cli.options import Options
from publisher.glaas.address import registry_address
from publisher.lineage.project import find_project
from publisher.plans import Request


def read_request(options: Options, cwd: Path, environ: Mapping[str, str]) -> Request:
    """What is asked for.  Raises LocalProblem outside of a project, UsageProblem for a bad registry address."""
    project = find_project(cwd)
    chosen = options.registry or project.registry_url(environ)
    return Request(project, options.target, cwd, registry_address(chosen, environ), options.flag)


def offline_choices(request: Request) -> list[Choice]:
    """What protocol.md §5 says before the registry was asked: one choice, or one for each of its answers."""
    scope = Scope.from_config(request.project.config.table)
    choices: dict[Decision, Choice] = {}
    for capable in (True, False):
        capabilities = Capabilities(anonymous_public=capable, server_hash=capable, authenticated=capable)
        choice = decide(request.flag, scope, Credentials(bearer=False, ssh=False), capabilities)
        choices.setdefault(choice.decision, choice)
    return list(choices.values())


def refuse_hopeless(request: Request) -> None:
    """Raise NeedsPerson where no answer of the registry could make this publishable, before anything is kept."""
    for choice in offline_choices(request):
        if choice.decision is Decision.STOP:
            raise choice.problem()
