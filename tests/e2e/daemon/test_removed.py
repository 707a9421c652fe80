"""A state folder that is removed under a daemon is not its folder any more."""

import shutil
from pathlib import Path

from tests.support.daemon.daemons import daemons_of, program_with_daemons, until


def removed(folder: Path) -> bool:
    """Remove *folder*, and say whether it is gone: a daemon may write there meanwhile."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def test_the_daemon_of_a_removed_folder_exits_and_leaves_the_path_to_another(tmp_path: Path) -> None:
    with program_with_daemons(tmp_path, tmp_path) as program:
        assert program("daemon", "start").code == 0
        [first] = daemons_of(program)
        until(lambda: removed(program.state))
        assert program("daemon", "start").code == 0
        until(lambda: first not in daemons_of(program))
        [second] = daemons_of(program)
        assert program("daemon", "status", "--json").last["pid"] == second
