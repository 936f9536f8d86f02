"""``trace.dat``: what ``trace-cmd record`` writes, by way of ``trace-cmd report``.

Its text streams from the tool into the scanner; nothing of it is kept. Nanoseconds are asked for,
and no plugins: those of whoever runs this would print some events in another way.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from iova.errors import InputError
from iova.sources.pieces import MAX_STREAMED, TEXT_PIECE, DamagedError, Input, pieces_of
from iova.sources.report import Progress
from iova.sources.sidecar import Sidecar, losses, printable_text

TOOL: Final = "trace-cmd"

#: Bytes that are read of what the tool says beside the events.
_MOST_TOLD: Final = 1 << 20
_MOST_COMPLAINED: Final = 4096
#: Seconds that it may take for that.
_PATIENCE_S: Final = 60

_UNAME: Final = re.compile(r"^Linux \S+ (\S+) ", re.MULTILINE)


@dataclass(frozen=True)
class TraceDat:
    """A file that the tool can read."""

    tool: str
    path: Path

    def facts(self) -> Sidecar:
        """The kernel it was recorded on and the events its ring buffers lost."""
        uname = _UNAME.search(self._told("--uname"))
        return Sidecar(
            kernel=printable_text(uname[1]) if uname else None,
            lost=sum(losses(line) for line in self._told("--stat").splitlines()),
        )

    def text(self, progress: Progress | None) -> Generator[memoryview]:
        """Yield the text of its events. Each piece is good until the next; close it in the end.

        Raises:
            DamagedError: the tool could not read all of it.
        """
        with tempfile.TemporaryFile() as complaints:
            process = subprocess.Popen(  # noqa: S603
                self._command("-t"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )
            try:
                assert process.stdout is not None  # noqa: S101
                yield from pieces_of(process.stdout, b"", TEXT_PIECE, None, progress)  # type: ignore[arg-type]
                process.wait()
            finally:
                process.kill()  # what has ended already is left alone
                process.communicate()
            if process.returncode:
                raise DamagedError(f"{TOOL} stopped here ({_last_line(complaints)})")

    def _command(self, *options: str) -> list[str]:
        return [self.tool, "report", "-N", *options, "-i", str(self.path.absolute())]

    def _told(self, option: str) -> str:
        """What the tool says; nothing if it fails: then it will fail with the events, too."""
        try:
            told = subprocess.run(  # noqa: S603
                self._command(option),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE_S,
                check=False,
            ).stdout
        except subprocess.TimeoutExpired:
            return ""
        return told[:_MOST_TOLD].decode("utf-8", errors="replace")


@contextmanager
def open_trace_dat(opened: Input, pieces: Iterator[memoryview]) -> Iterator[TraceDat]:
    """Make a ``trace.dat`` readable for the tool.

    Args:
        opened: the input.
        pieces: all its bytes, decompressed; put into a temporary file where it is no file that
            the tool could read itself.

    Raises:
        InputError: the tool is not installed, or the input is larger than may be put aside.
    """
    tool = shutil.which(TOOL)
    if tool is None:
        raise InputError(
            opened.name,
            "is a trace.dat, which is read by way of trace-cmd, and that is not installed.",
            hint="Install trace-cmd, or give the text: `trace-cmd report -t -i FILE >TEXT`.",
        )
    if opened.path is not None:
        yield TraceDat(tool, opened.path)
        return
    with tempfile.NamedTemporaryFile(suffix=".dat") as aside:
        _put_aside(opened.name, pieces, aside)
        yield TraceDat(tool, Path(aside.name))


def _put_aside(name: str, pieces: Iterator[memoryview], aside: IO[bytes]) -> None:
    room = MAX_STREAMED
    try:
        for piece in pieces:
            room -= len(piece)
            if room < 0:
                raise InputError(
                    name,
                    f"is more than {MAX_STREAMED >> 30} GiB that would have to be put aside.",
                    hint="Write it to a file, decompressed, and name that.",
                )
            aside.write(piece)
    except DamagedError as error:
        raise InputError(name, f"cannot be read: {error}.") from error
    aside.flush()


def _last_line(complaints: IO[bytes]) -> str:
    """The last thing the tool said, fit for a terminal."""
    complaints.seek(max(0, complaints.seek(0, 2) - _MOST_COMPLAINED))
    lines = complaints.read().decode("utf-8", errors="replace").split("\n")
    said = [text for line in lines if (text := printable_text(line.strip()))]
    return said[-1].rstrip(".") if said else "it did not say why"
