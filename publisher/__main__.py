"""The entry point of `roar`, `roar-publish` and `python -m roar_publisher`.

Every error of a command ends here, and `cli.failure` turns it into text and an exit code. Commands that are not its own
are passed to roar-cli.
"""

import gc
import sys
from collections.abc import Sequence

from roar_publisher.cli.importpath import prefer_installed


def main() -> None:
    """Run the command line of this process, and exit with a code of `exit_codes.ExitCode`."""
    prefer_installed()  # before anything else is imported
    from roar_publisher.cli.display.streams import open_closed

    open_closed()
    code = run(sys.argv[1:])
    gc.freeze()  # what is left ends with the process: searching it for cycles would take longer than a small request
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. A command of roar-cli replaces this process instead."""
    try:
        return _dispatch(arguments)
    except (Exception, KeyboardInterrupt) as error:
        return _report(error, arguments)


def _dispatch(arguments: Sequence[str]) -> int:
    from roar_publisher.cli.commands import COMMANDS, OPTIONS, SUBSTITUTES

    if arguments and arguments[0] not in COMMANDS and arguments[0] not in OPTIONS:
        from roar_publisher.cli.roar_cli import roar_cli_installed, run_roar_cli

        if roar_cli_installed() or arguments[0] not in SUBSTITUTES:
            return run_roar_cli(arguments)
    if sys.platform == "win32":
        print("Error: roar-publisher does not run on Windows.\nNext: install it inside of WSL", file=sys.stderr)  # noqa: T201
        return 2  # ExitCode.USAGE
    from roar_publisher.cli.app import start

    return start(arguments)


def _report(error: BaseException, arguments: Sequence[str]) -> int:
    from roar_publisher.cli.failure import report_error

    return report_error(error, as_json="--json" in arguments, typed=arguments[1:])


if __name__ == "__main__":
    main()
