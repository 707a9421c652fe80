"""Runs a command, writes what it cost as JSON into a file, and ends as the command did.

    python -I -S launcher.py FILE COMMAND...

Linux counts the memory of the process that starts another one as the other one's, until that runs its own program.
This process is smaller than any that is measured.
"""

import json
import os
import sys
import time

KIBIBYTE = 1024


def main() -> int:
    file, *command = sys.argv[1:]
    began = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    peak = usage.ru_maxrss / (KIBIBYTE if sys.platform != "darwin" else KIBIBYTE * KIBIBYTE)
    with open(file, "w", encoding="utf-8") as report:
        json.dump({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak_mib": peak}, report)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
