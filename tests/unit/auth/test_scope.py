"""Reading the repo's scope: what is understood, and that nothing unclear is taken for an unset scope."""

import tomllib

import pytest

from roar_publisher.auth.scope import Mode, RepoScope
from roar_publisher.state.errors import LocalProblem

TREQS = '[treqs]\nowner_id = "org-1"\nowner_type = "organization"\n'


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        pytest.param("", RepoScope(), id="nothing"),
        pytest.param('[scope]\nmode = ""\n[treqs]\n', RepoScope(), id="cleared"),
        pytest.param('[scope]\nmode = " public "\n', RepoScope(Mode.PUBLIC), id="spaces around the mode"),
        pytest.param("[registration]\npublic_by_default = true\n", RepoScope(public_by_default=True), id="by default"),
        pytest.param(TREQS, RepoScope(Mode.PROJECT, "org-1", "organization"), id="a binding on its own"),
        pytest.param(
            f'[scope]\nmode = "project"\n{TREQS}project_id = "p"\nvisibility = "public"\n',
            RepoScope(Mode.PROJECT, "org-1", "organization", "p", "public"),
            id="a public project",
        ),
        pytest.param(
            f'{TREQS}visibility = "internal"\n',
            RepoScope(Mode.PROJECT, "org-1", "organization"),
            id="only public counts",
        ),
        pytest.param(f'[scope]\nmode = "private"\n{TREQS}', RepoScope(Mode.PRIVATE), id="a binding left behind"),
    ],
)
def test_scope_of_a_configuration(text: str, scope: RepoScope) -> None:
    assert RepoScope.from_config(tomllib.loads(text)) == scope


@pytest.mark.parametrize(
    ("text", "what"),
    [
        pytest.param('[scope]\nmode = "privat"', "'privat', none of anonymous, private, public, project", id="typo"),
        pytest.param('[scope]\nmode = "unset"', "'unset', none of", id="our own word for none"),
        pytest.param("[scope]\nmode = 1", "`mode` is 1, not a text", id="mode of another type"),
        pytest.param('scope = "private"', "`scope` is not a table", id="scope is no table"),
        pytest.param('[scope]\nmode = "project"', "`[treqs] owner_id` is missing", id="a project without a binding"),
        pytest.param('[treqs]\nproject_id = "p"', "`[treqs] owner_id` is missing", id="a binding without an owner"),
        pytest.param('[treqs]\nowner_id = "o"\nowner_type = "team"', "'team', neither user", id="unknown owner type"),
        pytest.param('[registration]\npublic_by_default = "false"', "'false', not true or false", id="a quoted false"),
    ],
)
def test_an_unclear_scope_is_refused_with_what_to_type(text: str, what: str) -> None:
    with pytest.raises(LocalProblem) as caught:
        RepoScope.from_config(tomllib.loads(f"{text}\n"))
    assert what in caught.value.what
    assert "roar scope" in caught.value.next_step
