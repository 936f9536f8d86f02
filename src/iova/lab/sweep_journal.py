"""What a sweep has done so far: a file of JSON lines, one a finished cell, each synced to disk.

A run that ends early, however it ends, leaves whole lines and at most one torn one, which the next
run cuts off. A cell is found again by its key, so a changed sweep keeps what is still valid. Beside
results the file remembers hashes of traces, so that a large fleet is not hashed again.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from iova.closing import ClosedOnLeaving
from iova.errors import InputError
from iova.lab.sweep_work import Result, hash_of

#: A line with all metrics has about 3000 characters.
LONGEST_LINE: Final = 1 << 20

#: The first line, by which a journal is known: no other file is cut or written to.
HEADER: Final = b'{"format": "iova sweep journal", "schema_version": 1}\n'


class Journal(ClosedOnLeaving):
    """A sweep's journal, open and locked; a context manager.

    Attributes:
        results: of cells that did not fail, by key. Those that failed are run again.
        broken_lines: lines that could not be used.
    """

    def __init__(self, path: Path) -> None:
        """Open or make it.

        Raises:
            InputError: it can not be written, is no journal, or another sweep has it open.
        """
        self.path = path
        self.results: dict[str, Result] = {}
        self.broken_lines = 0
        self._hashes: dict[str, tuple[int, int, str]] = {}
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InputError(str(path), f"cannot be written: {error.strerror}.") from error
        try:
            self._lock()
            self._read()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file, which unlocks it."""
        os.close(self._fd)

    def add(self, key: str, result: Result) -> None:
        """Keep a result; it is on the disk when this returns.

        Raises:
            InputError: it can not be written.
        """
        if result.error is None:
            self.results[key] = result
        self._append({"key": key, **asdict(result)})

    def hash_of(self, path: str) -> str:
        """SHA-256 of a file, from memory if its size and time are as they were.

        Raises:
            OSError: it can not be read.
            InputError: the journal can not be written.
        """
        status = Path(path).stat()
        known = self._hashes.get(path)
        if known and known[:2] == (status.st_size, status.st_mtime_ns):
            return known[2]
        found = hash_of(path)
        self._hashes[path] = (status.st_size, status.st_mtime_ns, found)
        self._append({"file": path, "size": status.st_size, "mtime_ns": status.st_mtime_ns,
                      "sha256": found})  # fmt: skip
        return found

    def _append(self, record: dict[str, Any]) -> None:
        self._write(json.dumps(record, allow_nan=False).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
            os.fsync(self._fd)
        except OSError as error:
            raise InputError(
                str(self.path),
                f"cannot be written: {error.strerror}.",
                hint="What was done until then is kept: make room, and the same command goes on.",
            ) from error

    # ---------------------------------------------------------------------------- opening

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                str(self.path), "is in use by another sweep.", hint="Wait, or name another OUT."
            ) from error
        except OSError as error:
            raise InputError(str(self.path), f"cannot be locked: {error.strerror}.") from error

    def _read(self) -> None:
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise self._refused()
        whole = 0
        for line in self._lines():
            if whole == 0 and not HEADER.startswith(line):
                raise self._refused()
            if not line.endswith(b"\n"):  # torn by what ended the last run
                break
            if whole and not self._take(line):
                self.broken_lines += 1
            whole += len(line)
        os.ftruncate(self._fd, whole)
        if not whole:
            self._write(HEADER)

    def _refused(self) -> InputError:
        return InputError(
            str(self.path), "is no journal of a sweep.", hint="Name another OUT, or remove it."
        )

    def _lines(self) -> Iterator[bytes]:
        with os.fdopen(os.dup(self._fd), "rb") as file:
            file.seek(0)
            while line := file.readline(LONGEST_LINE):
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    raise self._refused()
                yield line

    def _take(self, line: bytes) -> bool:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if not isinstance(record, dict):
            return False
        if "file" in record:
            return self._take_hash(record)
        key, metrics, error = (record.get(name) for name in ("key", "metrics", "error"))
        times = [record.get("seconds"), record.get("load_seconds")]
        if not isinstance(key, str) or not isinstance(metrics, dict):
            return False
        if not all(map(_is_number, [*metrics.values(), *times])):
            return False
        if error is None:
            self.results[key] = Result(metrics, times[0] or 0.0, times[1] or 0.0)
        return True

    def _take_hash(self, record: dict[str, Any]) -> bool:
        file, sha256 = record["file"], record.get("sha256")
        size, time = record.get("size"), record.get("mtime_ns")
        if not (isinstance(file, str) and isinstance(sha256, str)):
            return False
        if not (isinstance(size, int) and isinstance(time, int)):
            return False
        self._hashes[file] = (size, time, sha256)
        return True


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
