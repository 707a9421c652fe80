"""Finding the project and reading its configuration, and the errors that name the wrong key."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.config import DEFAULT_REGISTRY, NamedRegistry
from roar_publisher.lineage.project import Project, find_project, registry_here
from roar_publisher.lineage.redaction.patterns import CustomShape
from roar_publisher.lineage.redaction.settings import DEFAULT_SECRET_VARIABLES, OmitConfig
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NamedBy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".roar").mkdir()
    (tmp_path / "src" / "deep").mkdir(parents=True)
    return tmp_path


def configured(root: Path, text: str, name: str = ".roar/config.toml") -> Project:
    (root / name).write_text(text)
    return find_project(root)


def test_a_project_is_found_from_a_subfolder(root: Path) -> None:
    project = find_project(root / "src" / "deep")
    assert project.root == root.resolve()
    assert project.database == root.resolve() / ".roar" / "roar.db"


def test_the_nearest_project_is_used(root: Path) -> None:
    (root / "src" / ".roar").mkdir()
    assert find_project(root / "src" / "deep").root == (root / "src").resolve()


def test_a_missing_project_is_reported_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(LocalProblem, match="there is no roar project here") as caught:
        find_project(tmp_path)
    assert "roar init" in caught.value.next_step


def test_the_folder_of_roars_own_log_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "link"))
    work = tmp_path / "code" / "repo"
    work.mkdir(parents=True)
    (tmp_path / ".roar").mkdir()
    (tmp_path / ".roar" / "roar.log").touch()
    with pytest.raises(LocalProblem, match="there is no roar project here"):
        find_project(work)
    for name in ("roar.db", "config.toml"):
        (tmp_path / ".roar" / name).touch()
        assert find_project(work).root == tmp_path.resolve()
        (tmp_path / ".roar" / name).unlink()
    (work.parent / ".roar").mkdir()
    assert find_project(work).root == work.parent.resolve()


@pytest.mark.parametrize("name", ["experimant-2", "a/b", "notes.txt", "notes.txt/x", "nul\0"])
def test_a_mistyped_folder_does_not_mean_the_project_around_it(root: Path, name: str) -> None:
    (root / "notes.txt").touch()
    with pytest.raises(LocalProblem, match="there is no folder") as raised:
        find_project(root / name)
    assert raised.value.reason == Reason.NO_PROJECT


def test_without_a_configuration_the_defaults_apply(root: Path) -> None:
    config = find_project(root).config
    assert config.omit == OmitConfig()
    assert config.omit.enabled
    assert "HF_TOKEN" in config.omit.variables


def test_every_value_is_read(root: Path) -> None:
    config = configured(
        root,
        """
        [glaas]
        url = "https://glaas.example/"
        key = "~/.ssh/other"
        [git]
        remote = "upstream"
        [scope]
        mode = "public"
        [registration.omit]
        enabled = false
        patterns = [{ id = "plate", pattern = "[A-Z]+" }, { pattern = "x", replacement = "y" }]
        [registration.omit.secrets]
        values = ["s"]
        [registration.omit.env_vars]
        names = []
        [registration.omit.allowlist]
        patterns = ["ok"]
        """,
    ).config
    assert (config.glaas_url, config.glaas_key, config.git_remote) == (
        "https://glaas.example/",
        "~/.ssh/other",
        "upstream",
    )
    assert config.table["scope"] == {"mode": "public"}
    shapes = (CustomShape("plate", "[A-Z]+"), CustomShape("custom_1", "x", "y"))
    ignored = ("enabled = false of the project's [registration.omit]",)
    # `names = []` takes none of the default variables away: a project adds to what is redacted.
    assert config.omit == OmitConfig(True, ("s",), DEFAULT_SECRET_VARIABLES, shapes, ("ok",), ignored)


def test_pyproject_replaces_config_toml_and_roarconfig_is_merged_below(root: Path) -> None:
    (root / ".roarconfig").write_text('[glaas]\nurl = "https://team"\nkey = "team"\n')
    project = configured(root, '[tool.roar.glaas]\nurl = "https://mine"\n', "pyproject.toml")
    assert (project.config.glaas_url, project.config.glaas_key) == ("https://mine", "team")
    project = configured(root, '[glaas]\nurl = "https://local"\n')
    assert project.config.glaas_url == "https://local"


WRITTEN_BY_ROAR = """\
[glaas]
# GLaaS API server
url = "https://api.glaas.ai"
[registration.omit]
enabled = true
[registration.omit.env_vars]
names = ["WANDB_API_KEY", "HF_TOKEN"]
"""
"""As `roar init` writes it into every project."""


def test_a_committed_configuration_is_read_at_the_top_of_the_work_tree(root: Path) -> None:
    (root / ".git").mkdir()
    (root / "src" / "deep" / ".roar").mkdir()
    committed = '[registration.omit]\nsecrets.values = ["ORION"]\nenv_vars.names = ["ACME_TOKEN"]\n'
    (root / ".roarconfig").write_text(f'[glaas]\nurl = "https://team"\n[git]\nremote = "team"\n{committed}')
    project = configured(root / "src" / "deep", f'{WRITTEN_BY_ROAR}[git]\nremote = "mine"\n')
    named = NamedRegistry("https://team", NamedBy.PROJECT, root.resolve() / ".roarconfig")
    assert project.registry({}) == named
    assert project.config.git_remote == "mine"
    assert project.config.omit.values == ("ORION",)
    assert "ACME_TOKEN" in project.config.omit.variables
    (root / "src" / "deep" / ".roarconfig").write_text('[glaas]\nurl = "https://part"\n[git]\nremote = "part"\n')
    project = find_project(root / "src" / "deep")
    assert project.registry({}).url == "https://part"
    assert (project.config.git_remote, project.config.omit.values) == ("mine", ("ORION",))


def test_what_anyone_may_have_put_above_a_project_is_no_configuration_of_it(root: Path) -> None:
    (root / ".git").mkdir()
    (root / "src" / ".roar").mkdir()
    (root / ".roarconfig").write_text('[glaas]\nurl = "https://theirs"\n')
    assert find_project(root / "src").config.glaas_url == "https://theirs"
    root.chmod(0o1777)
    assert find_project(root / "src").config.glaas_url is None
    assert find_project(root).config.glaas_url == "https://theirs", "it is this folder's own"


def test_the_default_that_roar_writes_into_a_project_chooses_no_registry(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"XDG_CONFIG_HOME": str(root / "mine")}
    (root / "mine" / "roar").mkdir(parents=True)
    (root / "mine" / "roar" / "config.toml").write_text('[glaas]\nurl = "https://glaas.corp.example"\n')
    for url in ("https://api.glaas.ai", "https://API.glaas.ai:443/", " https://api.glaas.ai "):
        project = configured(root, WRITTEN_BY_ROAR.replace("https://api.glaas.ai", url))
        assert project.registry(environ) == NamedRegistry("https://glaas.corp.example", NamedBy.USER)
        assert project.registry({"XDG_CONFIG_HOME": "/nowhere"}) == NamedRegistry(DEFAULT_REGISTRY, NamedBy.DEFAULT)
        assert project.registry({"GLAAS_URL": url.strip()}).by is NamedBy.ENVIRONMENT, "the user's word counts"
    for url in ("http://api.glaas.ai", "https://api.glaas.ai:8443", "https://api.glaas.ai.example", "https://[x"):
        assert configured(root, f'[glaas]\nurl = "{url}"\n').registry(environ).url == url


@pytest.mark.parametrize(
    ("environ", "config", "url"),
    [
        ({}, "", DEFAULT_REGISTRY),
        ({}, '[glaas]\nurl = "http://127.0.0.1:8000"', "http://127.0.0.1:8000"),
        ({"GLAAS_URL": "https://env"}, '[glaas]\nurl = "https://config"', "https://env"),
        ({"GLAAS_URL": ""}, '[glaas]\nurl = ""', DEFAULT_REGISTRY),
        ({"GLAAS_URL": " https://env \n"}, "", "https://env"),
        ({"GLAAS_URL": " \n"}, '[glaas]\nurl = " https://config "', "https://config"),
    ],
)
def test_the_registry_is_chosen_by_precedence(root: Path, environ: dict[str, str], config: str, url: str) -> None:
    assert configured(root, config).registry(environ).url == url


def test_a_folder_that_is_not_accessible_holds_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the home of another user, in which `sudo -u` leaves the current folder."""
    stat = os.stat

    def denied(path: Any, **options: Any) -> os.stat_result:
        if str(path).startswith(f"{tmp_path}/"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", denied)
    with pytest.raises(LocalProblem, match="no roar project here"):
        find_project(tmp_path)


def test_a_registry_is_chosen_outside_of_a_project_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"GLAAS_URL": "https://env"}
    monkeypatch.chdir("/")
    assert registry_here({}, None) == (NamedRegistry(DEFAULT_REGISTRY, NamedBy.DEFAULT), "")
    assert registry_here(named, None) == (NamedRegistry("https://env", NamedBy.ENVIRONMENT), "")
    assert registry_here(named, "https://x") == (NamedRegistry("https://x", NamedBy.OPTION), "")
    configured(root, '[glaas]\nkey = "/a/key"')
    monkeypatch.chdir(root)
    assert registry_here(named, None) == (NamedRegistry("https://env", NamedBy.ENVIRONMENT), "/a/key")


def test_a_project_whose_configuration_is_broken_is_not_left_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its registry is not known, and another one must not be asked."""
    (root / ".roar" / "config.toml").write_text('[glaas]\nurl = "https://team\n')
    monkeypatch.chdir(root / "src")
    with pytest.raises(LocalProblem, match=r"config\.toml cannot be read as TOML"):
        registry_here({}, None)


@pytest.mark.parametrize("everything", [".*", "", "^", r"\\S", "[a-zA-Z0-9]", "(?s).", r"\\d"])
def test_a_project_cannot_switch_redaction_off(root: Path, monkeypatch: pytest.MonkeyPatch, everything: str) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "mine"))
    text = f'[registration.omit]\nenabled = false\nallowlist.patterns = ["sk-test", "{everything}"]\n'
    omit = configured(root, text).config.omit
    assert omit.enabled
    assert everything not in omit.allowlist or not everything
    assert "sk-test" in omit.allowlist
    assert [note for note in omit.notes() if "enabled = false" in note and "--no-redact" in note]
    assert any("allowlist" in note for note in omit.notes()) is bool(everything)


def test_the_user_can_switch_redaction_off(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(root / "mine"))
    (root / "mine" / "roar").mkdir(parents=True)
    own = root / "mine" / "roar" / "config.toml"
    own.write_text("[registration.omit]\nenabled = false\n")
    assert not find_project(root).config.omit.enabled
    assert "redaction is off" in find_project(root).config.omit.notes()[0]
    own.write_text('[registration.omit.allowlist]\npatterns = [".*"]\n')
    assert find_project(root).config.omit.user_allowlist == (".*",)
    assert ["excepts everything" in note for note in find_project(root).config.omit.notes()] == [True]
    own.write_text('[registration.omit]\nallowlist.patterns = ["sk-mine"]\nsecrets.values = ["hunter2"]\n')
    assert find_project(root).config.omit.values == ("hunter2",)
    assert find_project(root).config.omit.notes() == []


def test_a_path_that_is_not_utf8_is_reported(tmp_path: Path) -> None:
    folder = os.path.join(os.fsencode(tmp_path), b"p\xff")
    os.makedirs(os.path.join(folder, b".roar"))
    with pytest.raises(LocalProblem, match="is not valid UTF-8") as caught:
        find_project(Path(os.fsdecode(folder)))
    caught.value.what.encode()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[glaas\n", "line 1"),
        ("a = 1\na = 2\n", "line 2"),
        ("[glaas]\nurl = 3", "glaas.url must be a string"),
        ("glaas = 3", "glaas must be a table"),
        ("[registration]\nomit = []", "registration.omit must be a table"),
        ("[registration.omit]\nenabled = 'no'", "registration.omit.enabled must be true or false"),
        ("[registration.omit.secrets]\nvalues = 'x'", "registration.omit.secrets.values must be a list of strings"),
        ("[registration.omit.env_vars]\nnames = [1]", "registration.omit.env_vars.names must be a list of strings"),
        ("[registration.omit]\npatterns = ['x']", "registration.omit.patterns must be a list of tables"),
        ("[registration.omit]\npatterns = [{id = 'x'}]", "registration.omit.patterns[0].pattern must be a string"),
        ("\udcff", "cannot be read as TOML"),
    ],
)
def test_an_invalid_configuration_is_reported_with_file_and_key(root: Path, text: str, what: str) -> None:
    (root / ".roar" / "config.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(LocalProblem) as caught:
        find_project(root)
    assert what in caught.value.what
    assert "config.toml" in caught.value.what
    assert "config.toml" in caught.value.next_step


def test_a_configuration_that_is_a_folder_is_a_problem(root: Path) -> None:
    (root / ".roar" / "config.toml").mkdir()
    with pytest.raises(LocalProblem, match="cannot be read"):
        find_project(root)
