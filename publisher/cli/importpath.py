"""Prevents modules of the user's project from shadowing what the commands import.

`PYTHONPATH=.` and `python -m` put the project's folder before the installed packages, and ML projects have modules
named `queue`, `click` or `secrets`. Only the commands change `sys.path`; importing `roar_publisher` does not.
"""

import os
import sys


def prefer_installed() -> None:
    """Move the folders of PYTHONPATH and the current folder behind the installed packages in `sys.path`.

    They stay importable, because some clusters install packages in PYTHONPATH. Repetition changes nothing.
    """
    try:
        folders = {os.getcwd(), *map(os.path.abspath, os.environ.get("PYTHONPATH", "").split(os.pathsep))}
    except OSError:  # the current folder was removed, so nothing can be imported from it
        folders = {folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(folder)}
    sys.path.sort(key=lambda entry: entry in folders or not os.path.isabs(entry))


def run_module(name: str) -> None:
    """Run an installed module as `python -m` would, with `sys.argv[1:]` as its arguments.

    Raises what the module raises.
    """
    prefer_installed()
    import runpy

    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run_module(sys.argv.pop(1))
