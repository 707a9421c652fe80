"""What the options of `roar registry serve` say about its clients."""

import ipaddress
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from roar_publisher.cli.registry.command import registry
from roar_publisher.cli.registry.serve_options import options_of, serve_options
from roar_publisher.registry.accounts.quotas import DEFAULT_QUOTA, Amount
from roar_publisher.registry.server.connections import DEFAULT_CONNECTIONS
from roar_publisher.registry.server.serve import ServeOptions
from roar_publisher.state.errors import LocalProblem


def parsed(*arguments: str) -> ServeOptions:
    @click.command()
    @serve_options
    def command(**options: Any) -> ServeOptions:
        return options_of(**options)

    result: ServeOptions = command.main(arguments, standalone_mode=False)
    return result


def test_the_defaults_are_those_of_the_registry() -> None:
    assert parsed() == ServeOptions(connections=DEFAULT_CONNECTIONS, quota=DEFAULT_QUOTA, proxies=[], public=[])


def test_every_limit_can_be_set() -> None:
    said = parsed(
        *("--max-connections", "50", "--anonymous-sessions", "0", "--anonymous-jobs", "7", "--anonymous-mib", "2"),
        *("--forwarded-allow-ips", "10.0.0.5, 2001:db8::/32"),
    )
    proxies = [ipaddress.ip_network("10.0.0.5/32"), ipaddress.ip_network("2001:db8::/32")]
    assert said == ServeOptions(connections=50, quota=Amount(0, 7, 2 * 2**20), proxies=proxies, public=[])


@pytest.mark.parametrize("proxies", ["*", "", "proxy.example", "10.0.0.0/99", "10.0.0.5,"])
def test_an_invalid_proxy_address_is_named(proxies: str) -> None:
    """uvicorn takes such a name for itself and never finds it; `*` would let every client choose its address."""

    @click.command()
    @serve_options
    def command(**options: Any) -> None:
        pytest.fail("taken")

    result = CliRunner().invoke(command, ["--forwarded-allow-ips", proxies])
    assert result.exit_code == 2
    assert "give addresses or networks" in result.output


def test_the_age_of_cached_projects_is_set_by_option_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parsed("--access-max-age", "7").context_age == 7 * 86400.0
    monkeypatch.setenv("ROAR_REGISTRY_ACCESS_MAX_AGE", "2")
    assert parsed().context_age == 2 * 86400.0
    assert parsed("--access-max-age", "7").context_age == 7 * 86400.0
    monkeypatch.setenv("ROAR_REGISTRY_ACCESS_MAX_AGE", "0")
    with pytest.raises(click.BadParameter):
        parsed()


def test_public_urls_are_kept_as_origins() -> None:
    said = parsed("--public-url", "https://Registry.Example.org/", "--public-url", "http://lab:8080")
    assert said.public == ["https://registry.example.org", "http://lab:8080"]


@pytest.mark.parametrize("url", ["registry.example.org", "https://registry.example.org/below", "https://u:p@host"])
def test_an_invalid_public_url_is_named(url: str) -> None:
    @click.command()
    @serve_options
    def command(**options: Any) -> None:
        pytest.fail("taken")

    result = CliRunner().invoke(command, ["--public-url", url])
    assert result.exit_code == 2
    assert "give it as https://HOST" in result.output


def test_data_that_others_may_write_to_is_refused_with_the_remedy(tmp_path: Path) -> None:
    data = tmp_path / "registry"
    data.mkdir()
    data.chmod(0o777)
    for arguments in (["serve", "--data", str(data)], ["user", "add", "alice", "--data", str(data)]):
        result = CliRunner().invoke(registry, arguments)
        assert isinstance(result.exception, LocalProblem)
        assert "other users can write to it" in str(result.exception).replace(str(data), "it")
        assert f"chmod -R go= {data}" in str(result.exception.diagnostics())
    assert list(data.iterdir()) == []
