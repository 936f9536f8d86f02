"""Run by the build: writes iova/_build.py, which says what the package was built from.

    build_info.py OUTPUT SOURCE_ROOT COMPILER

The commit is git's where the sources are a checkout of their own; in an archive that git made
(every source distribution is one) it stands in commit.txt; elsewhere it is not known.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def commit_of(root: Path) -> str | None:
    """The commit of the sources, with ``-dirty`` if files were changed since."""
    written = (root / "packaging" / "commit.txt").read_text(encoding="utf-8").strip()
    if re.fullmatch(r"[0-9a-f]{40,64}", written):
        return written
    # Unpacked within somebody else's repository, the sources are not of its commit.
    top = git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return None
    commit = git(root, "rev-parse", "HEAD")
    changed = git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changed else commit


def git(root: Path, *arguments: str) -> str | None:
    """What git says; None if it fails or is not there."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def main() -> None:
    """Write the file, unless it is as it should be."""
    output, root, compiler = sys.argv[1:]
    text = (
        '"""What this package was built from and with."""\n\n'
        f"COMMIT: str | None = {commit_of(Path(root))!r}\n"
        f"COMPILER: str = {compiler!r}\n"
    )
    path = Path(output)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


main()
