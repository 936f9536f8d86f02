"""Files that are no trace, each of another kind, and options that can not be: what is tried."""

from __future__ import annotations

import gzip
import os
import socket
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl
import zstandard

from fake_tracefs import recording
from iova import samples
from iova.sources.record.ring_file import RING_MAGIC, VERSION, Kind

TRACE: Final = Path(__file__).parent / "data" / "traces" / "small4-6.12.txt.zst"

#: Larger than any machine's memory; on disk it takes nothing.
HUGE_BYTES: Final = 1 << 40


def _sparse(path: Path, start: bytes, end: bytes = b"") -> None:
    with path.open("wb") as file:
        file.write(start)
        file.truncate(HUGE_BYTES - len(end))
        file.seek(0, os.SEEK_END)
        file.write(end)


def _png(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + bytes(range(12)) for _ in range(4)))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def _elf(path: Path) -> None:
    path.write_bytes(Path("/proc/self/exe").read_bytes()[: 1 << 20])


def _socket(path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    try:  # a socket's name may have some hundred bytes only
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def _fifo(path: Path) -> None:
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb") as file:  # waits for the reader
            file.write(b"no trace\n" * 100)

    threading.Thread(target=write, daemon=True).start()


def _other_parquet(path: Path) -> None:
    pl.DataFrame({"price": [1.5, 2.5], "city": ["Oslo", "Rome"]}).write_parquet(path)


def _named_columns_parquet(path: Path) -> None:
    pl.DataFrame({"t": ["noon"], "cpu": [0.5], "op": [None]}).write_parquet(path)


def _sample() -> bytes:
    return Path(samples.resolve("burst8-6.12")).read_bytes()


def _same_name_as_a_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").write_bytes(b"x")


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nothing-is-here"))


def _text(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _zst(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def _trace_dat() -> bytes:
    packed = TRACE.parents[1] / "importers" / "trace.dat.zst"
    return zstandard.ZstdDecompressor().stream_reader(packed.read_bytes()).read()


def _part(kind: int, content: bytes, length: int | None = None) -> bytes:
    """One of a recording's, with its own length or another."""
    return struct.pack("<IIQ", kind, 0, len(content) if length is None else length) + content


def _recording(*parts: bytes) -> Callable[[Path], object]:
    return _text(RING_MAGIC + VERSION + b"".join(parts))


def _start() -> bytes:
    return _part(Kind.START, b'{"byteorder": "little", "formats": {}, "level": "calls"}')


def _bomb(path: Path) -> None:
    path.write_bytes(_zst(bytes(1 << 26)))


#: Made at a path, by what it is. None of them holds an event.
FOREIGN: Final[dict[str, Callable[[Path], object]]] = {
    "empty file": _text(b""),
    "one byte": _text(b"\0"),
    "blank lines": _text(b"\n" * 1000),
    "PNG image": _png,
    "ELF program": _elf,
    "gzip": lambda path: path.write_bytes(gzip.compress(b"# tracer: nop\n" * 100)),
    "zip": _text(b"PK\x03\x04" + bytes(200)),
    "CSV": _text(b"time,cpu,event\n1.0,0,alloc\n2.0,1,free\n"),
    "JSON": _text(b'{"traceEvents": [{"ph": "X", "ts": 1}]}\n'),
    "HTML": _text(b"<!DOCTYPE html><html><body>404 not found</body></html>\n"),
    "source code": _text(Path(__file__).read_bytes()),
    "UTF-16 text": _text("# tracer: nop\n".encode("utf-16")),
    "random bytes": _text(bytes(i * i * 7919 % 251 for i in range(70_000))),
    "zeros": _text(bytes(1 << 20)),
    "one endless line": _text(b"a" * (1 << 22)),
    "trace of another subsystem": _text(
        b"# tracer: nop\n          <idle>-0     [001] d.h1.   12.345678: sched_waking: comm=x\n"
    ),
    "other Parquet": _other_parquet,
    "Parquet with columns of our names": _named_columns_parquet,
    "Parquet, its first half": lambda path: path.write_bytes(_sample()[: len(_sample()) // 2]),
    "Parquet, its last byte missing": lambda path: path.write_bytes(_sample()[:-1]),
    "Parquet, first four bytes": _text(b"PAR1"),
    "Parquet, empty between its marks": _text(b"PAR1\0\0\0\0PAR1"),
    "Parquet, metadata longer than the file": _text(b"PAR1\xff\xff\xff\x7fPAR1"),
    "zst, first bytes": lambda path: path.write_bytes(TRACE.read_bytes()[:40]),
    "zst, damaged": lambda path: path.write_bytes(TRACE.read_bytes()[:9] + b"\xff" * 99),
    "zst of something else": lambda path: path.write_bytes(_zst(b"hello\n" * 50)),
    "zst within zst": lambda path: path.write_bytes(_zst(TRACE.read_bytes())),
    "zst of 64 MiB of zeros": _bomb,
    "perf.data": _text(b"PERFILE2" + bytes(5000)),
    "trace.dat, first bytes": lambda path: path.write_bytes(_trace_dat()[:300]),
    "trace.dat, its first tenth": lambda path: path.write_bytes(
        _trace_dat()[: len(_trace_dat()) // 10]
    ),
    "trace.dat, zeros after its mark": lambda path: path.write_bytes(
        _trace_dat()[:16] + bytes(1 << 16)
    ),
    "recording, its mark alone": _recording(),
    "recording of another version": _text(RING_MAGIC + b"ING0" + _start()),
    "recording, its first 100 bytes": lambda path: path.write_bytes(recording("6.12")[:100]),
    "recording, its description longer than the file": _recording(
        _part(Kind.START, b"{}", (1 << 64) - 1)
    ),
    "recording, its description no JSON": _recording(_part(Kind.START, b"{" * 100_000)),
    "recording, its description of 16 MiB": _recording(_part(Kind.START, b" " * (1 << 24))),
    "recording without an event": _recording(_start(), _part(Kind.END, b"{}")),
    "recording with a page of zeros": _recording(
        _start(), _part(Kind.PAGE, bytes(4096)), _part(Kind.END, b"{}")
    ),
    "recording, zeros after its description": _recording(_start(), bytes(1 << 24)),
    "folder": _same_name_as_a_folder,
    "link to itself": _loop,
    "link to nothing": _dangling,
    "socket": _socket,
    "FIFO with no trace in it": _fifo,
    "recording of 1 TiB, all hole": lambda path: _sparse(path, RING_MAGIC + VERSION + _start()),
    "text of 1 TiB, all hole": lambda path: _sparse(path, b"no trace\n"),
    "Parquet of 1 TiB, all hole": lambda path: _sparse(path, b"PAR1"),
    "Parquet of 1 TiB with both marks": lambda path: _sparse(path, b"PAR1", b"\x10\0\0\0PAR1"),
}

#: Names under which nothing can be read, without the right of root to read anything in the way.
NAMES: Final[dict[str, str]] = {
    "missing": "no-such-file",
    "in a folder that is missing": "no/such/file",
    "in a file, as if it were a folder": "a-file/inside",
    "too long": "x" * 300,
    "empty name": "",
    "with a zero character": "a\0b",
    "with characters of a terminal": "\x1b[31mred\n",
    "with bytes that are no text": "\udcff\udcfe",
    "the empty device": "/dev/null",
    "zeros without end": "/dev/zero",
    "random bytes without end": "/dev/urandom",
    "memory, which gives an error of the disk's kind": "/proc/self/mem",
}

#: Options with values that can not be, and part of what is said.
BAD_OPTIONS: Final[dict[str, str]] = {
    "convert small.parquet out.csv": "ends with .csv",
    "convert board-4 out.JSON": "ends with .json",
    "sweep fleet.toml --out out.csv": "ends with .csv",
    "record -o out.txt --duration 1": "ends with .txt",
    "compare small.parquet --design linux-9": "linux-9",
    "compare small.parquet --design linux-6.12,threshold=x": "threshold",
    "compare small.parquet --design linux-6.12,threshold=-1": "threshold",
    "compare small.parquet --design linux-6.12,threshold=1e99": "threshold",
    "compare small.parquet --design linux-6.12,speed=1": "speed",
    "compare small.parquet --design linux-6.12,": "linux-6.12,",
    "compare small.parquet --design ,": "--design",
    "compare small.parquet --design no_such_module:Class": "no_such_module",
    "compare small.parquet --design json:Nothing": "Nothing",
    "compare small.parquet --design os:system": "os:system",
    "compare small.parquet --cpus 0": "--cpus",
    "compare small.parquet --cpus 99999999": "99999999",
    "compare small.parquet --cpus many": "--cpus",
    "compare small.parquet --domain 7": "domain 7",
    "compare small.parquet --seeds 3": "--seeds",
    "compare small.parquet --set a=1": "--set",
    "compare small.parquet --against missing.json": "missing.json",
    "compare small.parquet --frobnicate": "--frobnicate",
    "compare": "Missing argument",
    "compare board-4 --set nonsense": "nonsense",
    "compare board-4 --set cpus=0": "cpus",
    "compare board-4 --set cpus=9999999": "cpus",
    "compare board-4 --set duration_s=inf": "duration_s",
    "compare board-4 --set flow.none.depth=1": "none",
    "compare board-4 --seeds 0": "--seeds",
    "compare board-4 --seeds 100000": "--seeds",
    "compare board-4 --seed -1": "--seed",
    "compare board-4 --prices missing.toml": "missing.toml",
    "compare board-4 --cpus 4": "--cpus",
    "info board-5": "board-5",
    "info small.parquet --set a=1": "--set",
    "info": "Missing argument",
    "verify small.parquet --design linux-9": "linux-9",
    "verify small.parquet": "--design",
    "verify": "Missing argument",
    "convert small.parquet": "Missing argument",
    "convert small.parquet out.parquet more": "more",
    "convert small.parquet out.parquet --seed 1": "--seed",
    "convert small.parquet out.parquet --design linux-6.1": "--design",
    "convert small.parquet out.pftrace": "--design",
    "convert small.parquet out.pftrace --design linux-9": "linux-9",
    "convert small.parquet out.parquet --format pcap": "pcap",
    "convert board-4 out.parquet --format perf": "--format",
    "convert board-4 out.parquet --set duration_s=-1": "duration_s",
    "convert board-4 out.pftrace --design no_such_module:Class": "no_such_module",
    "explain small.parquet": "--design",
    "explain small.parquet --design linux-6.12 --address zz": "zz",
    "explain small.parquet --design linux-6.12 --address 0x": "0x",
    "explain small.parquet --design linux-6.12 --address -5": "-5",
    "explain small.parquet --design linux-6.12 --domain 9": "9",
    "tune small.parquet --trials 0": "--trials",
    "tune small.parquet --target cache": "cache",
    "tune small.parquet --target cache>=much": "much",
    "tune small.parquet --target speed>=1": "speed",
    "tune small.parquet --budget nan": "--budget",
    "tune small.parquet --objective beauty": "beauty",
    "tune small.parquet --param threshold=9..1": "threshold",
    "tune small.parquet --param nothing=1..2": "nothing",
    "tune small.parquet --design linux-9": "linux-9",
    "top small.parquet --speed 0": "--speed",
    "top small.parquet --interval nan": "--interval",
    "top small.parquet --count 0": "--count",
    "top small.parquet --design linux-9": "linux-9",
    "top small.parquet --set a=1": "--set",
    "top http://127.0.0.1:1/metrics --count 1": "127.0.0.1:1",
    "top http://127.0.0.1:1/metrics --design unbounded": "--design",
    "top http:// --count 1": "http://",
    "sweep fleet.toml --jobs 0": "--jobs",
    "sweep fleet.toml --out no/such/folder/x.parquet": "no/such/folder",
    "sweep missing.toml": "missing.toml",
    "sweep": "Missing argument",
    "record --duration 0": "'0' is no number of seconds above 0",
    "record --duration nan": "'nan' is no number of seconds above 0",
    "record --duration -1": "'-1' is no number of seconds above 0",
    "record --duration 1e99": "'1e99' is no number of seconds above 0 and below 1000000000",
    "record --duration soon": "'soon' is no number of seconds",
    "record --max-bytes 12Q": "'12Q' is no number of bytes above 0, such as 4096 or 64M",
    "record --max-bytes 0": "'0' is no number of bytes",
    "record --max-bytes -1G": "--max-bytes: expected one argument",
    "record --max-bytes G": "'G' is no number of bytes",
    "record --max-bytes 99999999999999999999": "is no number of bytes",
    "record --max-bytes": "--max-bytes: expected one argument",
    "record --buffer-kib 0": "'0' is no number of KiB from 1 to 16777216",
    "record --buffer-kib 1e3": "'1e3' is no number of KiB",
    "record --buffer-kib 99999999999": "'99999999999' is no number of KiB",
    "record --device eth0": "'eth0' is no PCI device such as 0000:01:00.0",
    "record --device 0000:zz:00.0": "'0000:zz:00.0' is no PCI device",
    "record --device 0000:ff:1f.7": "there is no such PCI device; `lspci -D` lists them",
    "record --level all": "invalid choice: 'all'",
    "record --level maps --device 01:00.0": "leave --device out",
    "record --duration 1 -- true": "not both",
    "record --clean -- true": "leave the COMMAND out",
    "record --print-cmdline -- true": "leave the COMMAND out",
    "record --print-cmdline --clean": "not allowed with argument --print-cmdline",
    "record --": "there is no command after --",
    "record --frobnicate": "--frobnicate",
    "record more": "unrecognized arguments: more",
    "list nothing": "nothing",
    "frobnicate": "frobnicate",
    "--frobnicate": "--frobnicate",
}
