"""`roar daemon`: the command lines. What they print is in `views`, which is imported when needed."""

import os
import sys

import click

from roar_publisher.state.errors import Owned, PublisherError
from roar_publisher.state.paths import StateFolder

NOT_RUNNING = 3
"""The exit code of `roar daemon status` if no daemon runs, the same as that of `systemctl status`."""
LINES = 50


@click.group()
def daemon() -> None:
    """Publish in the background: what is queued, detached or was interrupted.

    One daemon runs for each state folder. It takes every publish that nobody works on, tries again what the network or
    a server stopped, and leaves to you what needs a person.

    \b
      roar daemon start              now, until the machine is shut down
      roar daemon install            now, and whenever you are logged in
      roar daemon status             what it does; roar daemon logs, what it did
    """


@daemon.command()
@click.option("-q", "--quiet", is_flag=True, help="Write to the log file alone.")
def run(quiet: bool) -> int:
    """Run in the foreground, as systemd and containers want it.

    What goes into the log file goes to stderr, too. Ctrl-C and SIGTERM end it within 10 s, everything checkpointed.

    \b
    Exit codes: 0 asked to stop, 5 another daemon runs,
                1 or 3 the state folder or the configuration cannot be used.
    """
    from roar_publisher.daemon.log import open_log
    from roar_publisher.daemon.process import run_daemon

    folder = _folder()
    folder.user_key()  # creates the folder, or raises the reason why it cannot
    log = open_log(folder.daemon_log, echo=None if quiet else sys.stderr)
    try:
        run_daemon(folder, log=log)
    except PublisherError as error:
        if not isinstance(error, Owned):  # the log belongs to the other daemon
            log.error("%s; next: %s", error.what, error.next_step)
        if not quiet:
            raise
        return int(error.exit_code)
    except Exception:
        log.exception("ended by a defect")
        raise
    return 0


@daemon.command()
def start() -> None:
    """Start it in the background; returns when it runs.

    It gets this environment, and outlives this terminal. Where one runs already, nothing happens.

    \b
    Exit codes: 0 it runs, 1 it does not come up within 10 s,
                3 the state folder cannot be used.
    """
    from roar_publisher.daemon.background import start as start_daemon

    folder = _folder()
    started = start_daemon(folder)
    if started.already:
        click.echo(f"The daemon runs already (pid {started.pid}).")
    else:
        click.echo(f"Started the daemon (pid {started.pid}). Its log: {folder.daemon_log}")


@daemon.command()
def stop() -> None:
    """Ask it to end, and wait until it has.

    Everything that was acknowledged is kept, and goes on with the next daemon, or with roar publish --resume.

    \b
    Exit codes: 0 none runs any more, 1 it does not end within 15 s.
    """
    from roar_publisher.daemon.background import stop as stop_daemon

    pid = stop_daemon(_folder())
    click.echo("No daemon runs." if pid is None else f"Stopped the daemon (pid {pid}).")


@daemon.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(as_json: bool) -> int:
    """Whether it runs, and every publish that has not ended.

    What is shown is read from locks and journals: nothing is asked of the daemon, and nothing is changed.

    \b
    With --json one object:
      running, pid        pid is null where no daemon runs
      state_folder, log   their paths
      counts              publishes by where they stand:
                            running   somebody works on it
                            queued    the daemon takes it as soon as it can
                            waiting   until its next attempt
                            parked    until a person acts
      next_attempt        the earliest one, in Unix seconds, or null
      publishes           each of them, as roar journal list --json tells it

    \b
    Exit codes: 0 it runs, 3 it does not.
    """
    from roar_publisher.cli.daemon.views import show_status

    return 0 if show_status(_folder(), as_json=as_json) else NOT_RUNNING


@daemon.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with each new line, until Ctrl-C.")
@click.option("-n", "lines", type=click.IntRange(min=0), default=LINES, show_default=True, help="How many lines.")
def logs(follow: bool, lines: int) -> None:
    """The last lines of its log. Times are UTC.

    \b
      roar daemon logs -n 200
      roar daemon logs -f | grep 1f2e3d4c      one publish

    \b
    Exit codes: 0 also when Ctrl-C ends -f, 1 the log cannot be read.
    """
    from roar_publisher.cli.daemon.views import show_log

    show_log(_folder().daemon_log, lines, follow=follow)


@daemon.command()
@click.option("--print", "only_print", is_flag=True, help="Print what would be written, and change nothing.")
def install(only_print: bool) -> None:
    """Make it a service: a systemd user unit, or a launchd agent.

    The service gets none of this environment but the names of its folders. Credentials that are in variables only are
    not found by it: sign in (roar login, or a key in ~/.ssh), and use the profiles of the object store.

    \b
      roar daemon install --print > roar-publisher.service

    \b
    Exit codes: 0 installed, and running where a service manager answers,
                1 the manager refuses, or the file cannot be written.
    """
    from roar_publisher.cli.daemon.views import show_installed
    from roar_publisher.daemon.install import install as install_service
    from roar_publisher.daemon.install import service

    folder = _folder()
    wanted = service(folder, os.environ)
    if only_print:
        click.echo(wanted.text, nl=False)
    else:
        show_installed(install_service(wanted, folder))


@daemon.command()
def uninstall() -> None:
    """Stop the service and remove it. What is queued stays queued.

    \b
    Exit codes: 0 it is gone, 1 the manager refuses or the file cannot be removed.
    """
    from roar_publisher.cli.daemon.views import show_uninstalled
    from roar_publisher.daemon.install import service
    from roar_publisher.daemon.install import uninstall as uninstall_service

    show_uninstalled(uninstall_service(service(_folder(), os.environ)))


def _folder() -> StateFolder:
    return StateFolder.from_environment(os.environ)
