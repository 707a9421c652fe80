"""Where roar-cli can record what programs do."""

import atexit
import shutil
import tempfile
from pathlib import Path


def recordable_folder(name: str) -> Path:
    """Return a new folder outside /dev, which roar-cli leaves out; tests may have their folders there, in memory.

    It is removed when this process ends.
    """
    usual = Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix=f"roar-{name}-", dir="/var/tmp" if usual.is_relative_to("/dev") else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
