"""The demo's application: a small flag service in Django, in three releases and a mended one.

Each release lies in `project/` as the files that it adds to the one before, or replaces.
"""

import shutil
from pathlib import Path

RELEASES = ("v1", "v2", "v2.1", "v3")
_PROJECT = Path(__file__).with_name("project")


def lay_out(release: str, folder: Path) -> Path:
    """Write a release as an ordinary Django project; what was in the folder before is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    for earlier in RELEASES[: RELEASES.index(release) + 1]:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_PROJECT / earlier, folder, ignore=ignored, dirs_exist_ok=True)
    return folder / "manage.py"
