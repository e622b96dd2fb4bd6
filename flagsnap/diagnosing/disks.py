"""The disks of this machine."""

import shutil
from pathlib import Path

from flagsnap.diagnosis.room import Disk


def disk_of(folder: Path, *, will_be_made: bool = True) -> Disk | None:
    """The room in a folder, or in the nearest one above it if that `will_be_made`; None if it cannot be seen."""
    for place in (folder, *folder.parents) if will_be_made else (folder,):
        try:
            return Disk(str(folder), shutil.disk_usage(place).free)
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None
