"""`roar daemon`: the command lines. What they print is in `views`, which is imported when needed."""

import os
import sys

import click

from roar_publisher.exit_codes import exit_code_of
from roar_publisher.state.errors import Owned, PublisherError
from roar_publisher.state.paths import StateFolder

NOT_RUNNING = 3
"""The exit code of `roar daemon status` if no daemon runs, the same as that of `systemctl status`."""
LINES = 50


@click.group()
def daemon() -> None:
    """Publish queued, detached and interrupted lineage in the background.

    One daemon runs per state folder. It continues every publish that no other process is working on, retries after
    network and server problems, and leaves to you whatever needs your decision.

    \b
      roar daemon start              run now, until the machine is shut down
      roar daemon install            run now, and whenever you are logged in
      roar daemon status             show what it is doing
      roar daemon logs               show what it did
    """


@daemon.command()
@click.option("-q", "--quiet", is_flag=True, help="Write only to the log file.")
@click.option("--drain", is_flag=True, help="Publish everything that is due, then exit: for cron and job epilogs.")
def run(quiet: bool, drain: bool) -> int:
    """Run in the foreground, as systemd and containers expect.

    Log lines also go to stderr. Ctrl-C and SIGTERM stop it within 10 s, after a checkpoint of every publish.

    \b
      roar daemon run --drain -q        publish what is due, then exit

    \b
    Exit codes: 0 asked to stop or drained, 5 another daemon is running,
                1 or 3 the state folder or the configuration cannot be used.
    """
    from roar_publisher.checkpoints.feeder import CheckpointFeeder
    from roar_publisher.daemon.dependencies import Dependencies
    from roar_publisher.daemon.log import open_log
    from roar_publisher.daemon.process import run_daemon

    folder = _folder()
    folder.user_key()  # creates the folder, or raises the reason why it cannot
    log = open_log(folder.daemon_log, echo=None if quiet else sys.stderr)
    try:
        dependencies = Dependencies(feeder=CheckpointFeeder(folder, log=log))
        run_daemon(folder, log=log, dependencies=dependencies, drain=drain)
    except PublisherError as error:
        if not isinstance(error, Owned):  # the log belongs to the other daemon
            log.error("%s; next: %s", error.what, error.next_step)
        if not quiet:
            raise
        return int(exit_code_of(error.conclusion))
    except Exception:
        log.exception("stopped by a defect")
        raise
    return 0


@daemon.command()
def start() -> None:
    """Start the daemon in the background, and return once it runs.

    The daemon inherits this environment and outlives this terminal. Does nothing if one is already running.

    \b
    Exit codes: 0 it is running, 1 it has not started within a minute,
                3 the state folder cannot be used.
    """
    from roar_publisher.daemon.background import start as start_daemon

    folder = _folder()
    started = start_daemon(folder)
    if started.already_running:
        click.echo(f"The daemon is already running (pid {started.pid}).")
    else:
        click.echo(f"Started the daemon (pid {started.pid}). Its log: {folder.daemon_log}")


@daemon.command()
def stop() -> None:
    """Ask the daemon to exit, and wait until it has.

    Everything that was acknowledged is kept. The next daemon, or `roar publish --resume`, continues.

    \b
    Exit codes: 0 no daemon is running, 1 it has not exited within 15 s.
    """
    from roar_publisher.daemon.background import stop as stop_daemon

    pid = stop_daemon(_folder())
    click.echo("No daemon is running." if pid is None else f"Stopped the daemon (pid {pid}).")


@daemon.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(as_json: bool) -> int:
    """Show whether the daemon is running, and every unfinished publish.

    Only reads locks and journals: changes nothing, and does not contact the daemon.

    \b
    With --json one object:
      running, pid        pid is null if no daemon is running
      state_folder, log   their paths
      counts              publishes by their position in the queue:
                            running   a process is working on it
                            queued    the daemon starts it as soon as it can
                            waiting   until its next attempt
                            parked    until you act
      next_attempt        the earliest one, in Unix seconds, or null
      publishes           each of them, as in roar journal list --json

    \b
    Exit codes: 0 it is running, 3 it is not.
    """
    from roar_publisher.cli.daemon.views import show_status

    return 0 if show_status(_folder(), as_json=as_json) else NOT_RUNNING


@daemon.command()
@click.option("-f", "--follow", is_flag=True, help="Keep printing new lines until Ctrl-C.")
@click.option("-n", "lines", type=click.IntRange(min=0), default=LINES, show_default=True, help="Number of lines.")
def logs(follow: bool, lines: int) -> None:
    """Show the last lines of the daemon's log. Times are in UTC.

    \b
      roar daemon logs -n 200
      roar daemon logs -f | grep 1f2e3d4c      one publish

    \b
    Exit codes: 0 also when Ctrl-C stops -f, 1 the log cannot be read.
    """
    from roar_publisher.cli.daemon.views import show_log

    show_log(_folder().daemon_log, lines, follow=follow)


@daemon.command()
@click.option("--print", "only_print", is_flag=True, help="Print the file and change nothing.")
def install(only_print: bool) -> None:
    """Install the daemon as a systemd user unit or a launchd agent.

    The service does not inherit this environment, except the variables that name its folders. It cannot use credentials
    that are only in variables: sign in (`roar login`, or a key in ~/.ssh), and use profiles for object stores.

    \b
      roar daemon install --print > roar-publisher.service

    \b
    Exit codes: 0 installed, and running if a service manager answers,
                1 the manager fails, or the file cannot be written.
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
    """Stop the service and remove it. Queued publishes stay queued.

    \b
    Exit codes: 0 it is removed,
                1 the manager fails, or the file cannot be removed.
    """
    from roar_publisher.cli.daemon.views import show_uninstalled
    from roar_publisher.daemon.install import service
    from roar_publisher.daemon.install import uninstall as uninstall_service

    show_uninstalled(uninstall_service(service(_folder(), os.environ)))


def _folder() -> StateFolder:
    return StateFolder.from_environment(os.environ)
