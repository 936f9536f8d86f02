"""Files appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from iova.errors import InputError

#: Endings that promise what no trace and no result is written as. Any other ending may be part of
#: a name: ``burst8-6.12``.
_OTHER_FORMATS: Final = frozenset((
    ".arrow", ".csv", ".dat", ".data", ".db", ".feather", ".gz", ".htm", ".html", ".ipc", ".json",
    ".jsonl", ".log", ".md", ".ndjson", ".pdf", ".png", ".sqlite", ".svg", ".toml", ".tsv", ".txt",
    ".xlsx", ".xml", ".xz", ".yaml", ".yml", ".zip", ".zst",
))  # fmt: skip


def is_same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two names lead to one file. Names that lead nowhere, or can not, are no file's."""
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):  # the latter: a name with a zero character
        return False


def refuse_standard_output(out: str | Path) -> None:
    """Refuse ``-``, which elsewhere stands for a stream: this is written to a file.

    Raises:
        InputError: it is that.
    """
    if str(out) == "-":
        raise InputError("-", "stands for standard output, and this is written to a file.",
                         hint="Give the file's name.")  # fmt: skip


def refuse_other_format(out: str | Path, written: str, also: Collection[str] = ()) -> None:
    """Refuse a name whose ending promises a format that is not written, such as ``.csv``.

    ``also``: endings of formats that are written elsewhere, but not here.

    Raises:
        InputError: its hint says what is ``written``.
    """
    ending = Path(out).suffix.lower()
    if ending in _OTHER_FORMATS or ending in also:
        raise InputError(
            str(out), f"ends with {ending}, which is not the format that is written.", hint=written
        )


def file_to_write(out: str | Path) -> Path:
    """Where a file of this name would be written: what symbolic links lead to.

    Raises:
        InputError: that is something else than a file: a rename would put a file in the place of
            a device; or its name leads nowhere.
    """
    try:
        path = Path(os.path.realpath(out))
        is_there, is_file = path.exists(), path.is_file()
    except (OSError, ValueError) as error:  # the latter: a name with a zero character
        told = error.strerror if isinstance(error, OSError) else "no file has such a name"
        raise InputError(str(out), f"cannot be written: {told}.") from error
    if is_there and not is_file:
        raise InputError(str(out), "is not a file: it cannot be replaced by one.")
    if path.is_symlink():
        raise InputError(str(out), "cannot be written: it is a symbolic link to itself.")
    if not path.parent.is_dir():
        raise InputError(str(out), "cannot be written: there is no such folder.")
    return path


def refuse_unwritable(folder: Path, out: str | Path) -> None:
    """Find out whether a file can be made in a folder, by making one that has no name.

    Raises:
        InputError: none can; it names ``out``.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(str(out), f"cannot be written: {error.strerror or error}.") from error


@contextmanager
def appearing_whole(out: str | Path) -> Iterator[Path]:
    """A temporary path beside ``out`` to write to; renamed to it when the block ends well.

    Whatever goes wrong, Ctrl-C included, nothing is left behind and ``out`` stays as it was.

    Raises:
        InputError: it cannot be written; see :func:`file_to_write`.
    """
    path = file_to_write(out)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise InputError(str(out), f"cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):  # a folder that may only be read refuses even what is not there
            temporary.unlink(missing_ok=True)
