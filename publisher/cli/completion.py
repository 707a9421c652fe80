"""`roar completion`: prints the shell script that completes commands, options and publish ids."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes commands in SHELL.

    \b
      bash  eval "$(roar completion bash)"      in ~/.bashrc
      zsh   eval "$(roar completion zsh)"       in ~/.zshrc
      fish  roar completion fish | source       in ~/.config/fish/config.fish
    """
    from roar_publisher.cli.app import roar
    from roar_publisher.naming import program_name

    name = program_name()
    shell_class = get_completion_class(shell)
    assert shell_class is not None  # click has all three
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    click.echo(shell_class(roar, {}, name, variable).source())
