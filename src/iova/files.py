"""Files appear whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from iova.errors import InputError


@contextmanager
def appearing_whole(out: str | Path) -> Iterator[Path]:
    """A temporary path beside ``out`` to write to; renamed to it when the block ends well.

    Whatever goes wrong, Ctrl-C included, nothing is left behind and ``out`` stays as it was.

    Raises:
        InputError: it cannot be written, or is something else than a file: a rename would put
            a file in the place of a device.
    """
    path = Path(out).resolve()  # what a symbolic link leads to is written, not the link
    if path.exists() and not path.is_file():
        raise InputError(str(out), "is not a file: it cannot be replaced by one.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(str(out), f"cannot be written: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)
