"""What ``iova --version`` prints: the version, and what a bug report should say beside it."""

from __future__ import annotations

import platform

from iova import _build, _core


def version_text() -> str:
    """The version, then what it was built from and with, and what it runs on."""
    rseq = "yes" if _core.uses_rseq() else "no"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return "\n".join(
        (
            f"iova {_core.VERSION}",
            f"commit    {_build.COMMIT or 'not known'}",
            f"compiler  {_build.COMPILER}",
            f"rseq      {rseq}",
            f"python    {python}, {platform.machine()}",
        )
    )
