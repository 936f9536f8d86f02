"""``iova record``: what the allocator of a live kernel does, as a trace.

Its arguments are parsed here and not with the other verbs' library: on the slow machine that is
recorded, loading that and Polars would last longer than the recording.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, NoReturn, TypeVar

from iova.errors import InputError, IovaError
from iova.files import appearing_whole, file_to_write, refuse_other_format, refuse_standard_output
from iova.sources.record.machine import BDF
from iova.sources.record.probes import boot_words
from iova.sources.record.recorder import Plan, Recorded, Status, record
from iova.sources.record.ring_file import SUFFIX
from iova.sources.record.session import BUFFER_KIB, LEVELS
from iova.sources.record.tracefs import Tracefs, clean_up, find_tracefs
from iova.words import counted, noun

Number = TypeVar("Number", int, float)

MAX_SECONDS: Final = 1_000_000_000
MAX_BUFFER_KIB: Final = 1 << 24
_SCALES: Final = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

PARTLY_DONE: Final = 3
INTERRUPTED: Final = 130
DEFAULT_OUT: Final = "iova.parquet"

SUMMARY: Final = "Record the IOVA allocator of this machine's kernel (needs root)."

_EPILOG: Final = """\
Stops after --duration, with COMMAND, at --max-bytes or on Ctrl-C; the trace is
then written. OUT.iovaring keeps the raw pages instead, to be decoded on another
machine by  iova convert OUT.iovaring OUT.parquet
Exit status: 0 done; 2 an error, or events were lost; 3 recorded, but it ended
before it should.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as the other verbs do."""

    def error(self, message: str) -> NoReturn:
        """One sentence, and where to read on."""
        raise IovaError(f"{message}; see `iova record --help`.")


def parser() -> argparse.ArgumentParser:
    """The verb's arguments."""
    made = _Parser(
        prog="iova record",
        description=SUMMARY,
        epilog=_EPILOG,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=80),
        usage="iova record [-o OUT] [--duration S] [options] [-- COMMAND ...]",
        allow_abbrev=False,
    )
    add = made.add_argument
    add("-o", "--out", default=DEFAULT_OUT, metavar="OUT",
        help=f"file to write: Parquet, or raw pages if it ends with {SUFFIX} (%(default)s)",
    )  # fmt: skip
    add("--duration", type=_seconds, metavar="S", help="stop after so many seconds")
    add("--device", action="append", default=[], type=_device, metavar="BDF",
        help="keep the domains of this PCI device alone, e.g. 0000:01:00.0; may be repeated",
    )  # fmt: skip
    add("--level", choices=LEVELS, default="calls",
        help="maps: no probes, only iommu:map and iommu:unmap (%(default)s)")  # fmt: skip
    add("--max-bytes", type=_size, metavar="N",
        help="stop at so many bytes of raw pages; K, M and G are understood")  # fmt: skip
    add("--buffer-kib", type=_buffer, default=BUFFER_KIB, metavar="N",
        help="KiB of ring buffer for each CPU (%(default)s)")  # fmt: skip
    add("--allow-lost", action="store_true", help="write the trace even if events were lost")
    add("--redact", action="store_true", help="leave out the host's name and the command line")
    add("--json", action="store_true",
        help="print JSON for machines; what COMMAND prints goes to standard error")  # fmt: skip
    ends = made.add_mutually_exclusive_group()
    ends.add_argument("--print-cmdline", action="store_true",
        help="print the kernel words that record the births of domains at boot, and stop",
    )  # fmt: skip
    ends.add_argument("--clean", action="store_true",
        help="remove what a recorder left behind that was killed, and stop")  # fmt: skip
    return made


def _seconds(text: str) -> float:
    value = _number(float, text)
    if not 0 < value < MAX_SECONDS:
        raise _refused(text, f"number of seconds above 0 and below {MAX_SECONDS}")
    return value


def _size(text: str) -> int:
    scale = _SCALES.get(text[-1:].upper())
    value = _number(int, text[:-1] if scale else text) * (scale or 1)
    if not 0 < value < 1 << 62:
        raise _refused(text, "number of bytes above 0, such as 4096 or 64M")
    return value


def _buffer(text: str) -> int:
    value = _number(int, text)
    if not 0 < value <= MAX_BUFFER_KIB:
        raise _refused(text, f"number of KiB from 1 to {MAX_BUFFER_KIB}")
    return value


def _device(text: str) -> str:
    device = text.lower() if text.count(":") == 2 else f"0000:{text.lower()}"
    if not BDF.fullmatch(device):
        raise _refused(text, "PCI device such as 0000:01:00.0")
    return device


def _number(kind: type[Number], text: str) -> Number:
    """What the text says; 0, which no option takes, if that is no number."""
    try:
        return kind(text)
    except ValueError:
        return kind(0)


def _refused(text: str, wanted: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text!r} is no {wanted}")


def main(arguments: Sequence[str]) -> int:
    """Run the verb; its exit status. Errors a user can act on are one line."""
    try:
        return _run(arguments)
    except SystemExit as stop:  # of the parser, which told why
        return stop.code if isinstance(stop.code, int) else InputError.exit_status
    except IovaError as error:
        return _tell(str(error), error.exit_status)
    except KeyboardInterrupt:
        return _tell("stopped", INTERRUPTED)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _tell(f"{name}{error.strerror or error}.", InputError.exit_status)
    except MemoryError:
        return _tell("out of memory", InputError.exit_status)


def _tell(told: str, status: int) -> int:
    print("iova: " + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in told),
          file=sys.stderr)  # fmt: skip
    return status


def _run(arguments: Sequence[str]) -> int:
    own, command = _split(list(arguments))
    options = parser().parse_args(own)
    _refuse_contradictions(options, command)
    if options.print_cmdline:
        print(boot_words())
        return 0
    if options.clean:
        gone = clean_up(find_tracefs())
        print("\n".join(f"removed {name}" for name in gone) or "nothing was left behind")
        return 0
    plan = Plan(
        level=options.level,
        duration_s=options.duration,
        command=tuple(command),
        max_bytes=options.max_bytes,
        buffer_kib=options.buffer_kib,
        devices=tuple(options.device),
        redact=options.redact,
        command_to_stderr=options.json,
    )
    _refuse_unknown_devices(plan.devices)
    return _record(plan, options.out, options.allow_lost, options.json)


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    at = arguments.index("--")
    if at + 1 == len(arguments):
        raise IovaError("there is no command after --.")
    return arguments[:at], arguments[at + 1 :]


def _refuse_contradictions(options: argparse.Namespace, command: Sequence[str]) -> None:
    if command and options.duration is not None:
        raise IovaError("give --duration or a COMMAND, not both.")
    if options.level == "maps" and options.device:
        raise IovaError("--level maps does not tell devices apart: leave --device out.")
    if command and (options.clean or options.print_cmdline):
        alone = "--clean" if options.clean else "--print-cmdline"
        raise IovaError(f"{alone} records nothing: leave the COMMAND out.")


def _refuse_unknown_devices(devices: Sequence[str]) -> None:
    for device in devices:
        if not Path("/sys/bus/pci/devices", device).exists():
            raise IovaError(
                f"--device {device}: there is no such PCI device; `lspci -D` lists them."
            )


# ------------------------------------------------------------------------------ recording


def _record(plan: Plan, out: str, allow_lost: bool, as_json: bool) -> int:
    refuse_standard_output(out)
    refuse_other_format(out, f"Name OUT.parquet, or for raw pages OUT{SUFFIX}.")
    path = file_to_write(out)
    tracefs = find_tracefs()
    display = _Display()
    if out.endswith(SUFFIX):
        with appearing_whole(out) as temporary:
            done = _to_file(plan, temporary, tracefs, display)
        _say_done(done, out, as_json)
        return _status(done, allow_lost, f"{out} says so")
    raw = _file_beside(path, out)
    try:
        done = _to_file(plan, raw, tracefs, display)
        _say_done(done, out, as_json)
        if done.lost and not allow_lost:
            kept = _keep(raw, path)
            return _status(done, False, f"the raw pages are in {kept}: `iova convert --allow-lost`"
                           " makes a trace of them all the same")  # fmt: skip
        _decode(raw, path, out, allow_lost)
    finally:
        raw.unlink(missing_ok=True)
    return _status(done, allow_lost, "")


def _file_beside(path: Path, out: str) -> Path:
    """A file for the raw pages."""
    try:
        opened, raw = tempfile.mkstemp(prefix=f".{path.name}.", suffix=SUFFIX, dir=path.parent)
    except OSError as error:
        raise InputError(out, f"cannot be written: {error.strerror}.") from error
    os.close(opened)
    return Path(raw)


def _to_file(plan: Plan, file: Path, tracefs: Tracefs, display: _Display) -> Recorded:
    opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        return record(tracefs, plan, opened, told=display.show)
    finally:
        os.close(opened)
        display.end()


def _keep(raw: Path, path: Path) -> Path:
    """Give the raw pages a name beside the trace that there is not."""
    kept = path.with_name(path.name + SUFFIX)
    raw.replace(kept)
    return kept


def _decode(raw: Path, path: Path, out: str, allow_lost: bool) -> None:
    """Write the trace; where that can not be, what was recorded is kept."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from iova.sources.convert import convert

    try:
        convert(raw, out, allow_lost=allow_lost)
    except InputError as error:
        if error.source == str(raw):  # a name that the user never gave, of a file that goes
            raise InputError(out, error.problem, hint=error.hint) from error
        told = f"{error} What was recorded is in {_keep(raw, path)}: `iova convert` makes a trace"
        raise IovaError(f"{told} of it.") from error


def _status(done: Recorded, allow_lost: bool, where: str) -> int:
    for note in done.notes:
        _tell(f"note: {note}", 0)
    if done.lost and not allow_lost:
        lost = f"{counted(done.lost, 'event')} {noun(done.lost, 'was', 'were')} lost"
        told = f"at least {lost}, so the rest may mislead; {where}."
        return _tell(f"{told} Give a larger --buffer-kib.", InputError.exit_status)
    if done.cut_short:
        return PARTLY_DONE
    return 0


def _say_done(done: Recorded, out: str, as_json: bool) -> None:
    if as_json:
        from iova.report.schemas import json_result

        print(json.dumps(json_result("record", {"out": out, **asdict(done)}), indent=2))
        return
    status = "" if done.command_status in (None, 0) else f", with status {done.command_status}"
    print(f"{out}: {done.seconds:.1f} s, {done.bytes:,} bytes of raw pages,"
          f" {counted(done.lost, 'event')} lost; {done.reason}{status}",
          file=sys.stderr)  # fmt: skip


class _Display:
    """Rate and loss, once a second, on a terminal."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._before: Status | None = None
        self._wrote = False

    def show(self, status: Status) -> None:
        """Draw the line anew."""
        if not self._shown:
            return
        before = self._before or Status(0.0, 0, 0)
        passed = max(status.seconds - before.seconds, 1e-9)
        rate = (status.bytes - before.bytes) / passed / 1e6
        told = f"{status.seconds:7.0f} s  {status.bytes / 1e6:9.1f} MB  {rate:7.2f} MB/s"
        told += f"  {status.lost} lost  (Ctrl-C ends)"
        print(f"\r\x1b[K{told}", end="", file=sys.stderr, flush=True)
        self._before, self._wrote = status, True

    def end(self) -> None:
        """Leave the terminal's line."""
        if self._wrote:
            print(file=sys.stderr)
