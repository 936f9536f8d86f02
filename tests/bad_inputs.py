"""Files that are no trace, each of another kind: what commands are tried with."""

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

from iova import samples

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
    "folder": _same_name_as_a_folder,
    "link to itself": _loop,
    "link to nothing": _dangling,
    "socket": _socket,
    "FIFO with no trace in it": _fifo,
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
