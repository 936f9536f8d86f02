"""What this package was built from and with; written by the build (packaging/build_info.py)."""

from typing import Final

#: git's name of the sources' commit, with ``-dirty`` if they were changed; None: not known.
COMMIT: Final[str | None]
#: The C compiler and its version.
COMPILER: Final[str]
