"""A folder that behaves as tracefs does, as far as the recorder uses it; and recorded files."""

from __future__ import annotations

import errno
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import zstandard

from iova.sources.record.btf import Types
from iova.sources.record.ring_file import Kind, Part, parts_of
from iova.sources.record.tracefs import Tracefs

RECORDINGS = Path(__file__).parent / "data" / "recordings"
CPUS = 2
FILES = (
    "tracing_on", "trace_clock", "buffer_size_kb", "options/overwrite", "events/enable",
    "events/iommu/unmap/enable", "events/iommu/map/enable",
)  # fmt: skip
STATS = "entries: 5\noverrun: {overrun}\ncommit overrun: 0\ndropped events: {dropped}\n"
FORMAT = """name: {name}
ID: {number}
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
"""


@dataclass(frozen=True)
class FakeTracefs(Tracefs):
    """Its files are of the host's; a write replaces, and probes appear and go as in the kernel."""

    def write(self, name: str, text: str) -> None:
        if name == "dynamic_events":
            self._change_probes(text.strip())
            return
        file = self.root / name
        if not file.exists():
            raise FileNotFoundError(errno.ENOENT, "No such file", str(file))
        file.write_text(text)

    def instance(self, name: str) -> FakeTracefs:
        return FakeTracefs(self.root / "instances" / name, self.proc)

    def create(self) -> None:
        self.root.mkdir()
        for name in FILES:
            file = self.root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("0")
        for event, number in (("iommu/unmap", 900), ("iommu/map", 901)):
            text = FORMAT.format(name=event[6:], number=number)
            (self.root / "events" / event / "format").write_text(text)
        for cpu in range(CPUS):
            folder = self.root / "per_cpu" / f"cpu{cpu}"
            folder.mkdir(parents=True)
            (folder / "stats").write_text(STATS.format(overrun=0, dropped=0))
            (folder / "trace_pipe_raw").write_bytes(b"")
        for line in (self.root.parent.parent / "dynamic_events").read_text().splitlines():
            self.add_event(line)

    def delete(self) -> None:
        shutil.rmtree(self.root)

    def add_event(self, definition: str) -> None:
        """An instance shows the events of a probe."""
        match = re.match(r"\w+:(\w+/\w+)", definition)
        assert match
        folder = self.root / "events" / match[1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "enable").write_text("0")
        (folder / "filter").write_text("none")
        text = FORMAT.format(name=folder.name, number=1000 + hash(folder.name) % 500)
        (folder / "format").write_text(text)

    def _change_probes(self, text: str) -> None:
        file = self.root / "dynamic_events"
        lines = file.read_text().splitlines()
        if text.startswith("-:"):
            kept = [line for line in lines if f":{text[2:]} " not in f"{line} "]
            if kept == lines:
                raise FileNotFoundError(errno.ENOENT, "No such event", text)
        else:
            function = re.split(r"[+%]", text.split()[1])[0]
            if function in (self.root / "missing").read_text().split():
                raise FileNotFoundError(errno.ENOENT, "No such symbol", text)
            kept = [*lines, text]
            for folder in (self.root / "instances").iterdir():
                FakeTracefs(folder, self.proc).add_event(text)
        file.write_text("".join(f"{line}\n" for line in kept))


def fake_tracefs(folder: Path, *, fprobes: bool = True, missing: str = "") -> FakeTracefs:
    """A tracefs of a kernel, in which nobody traces; ``missing``: functions it has not."""
    root, proc = folder / "tracing", folder / "proc"
    (root / "instances").mkdir(parents=True)
    (proc / "sys" / "debug").mkdir(parents=True)
    (proc / "sys" / "debug" / "kprobes-optimization").write_text("1\n")
    (root / "README").write_text("\t f[:[<group>/][<event>]]\n" if fprobes else "\t p[:...]\n")
    for name in ("dynamic_events", "kprobe_profile", "trace"):
        (root / name).write_text("")
    (root / "trace_clock").write_text("local [mono]\n")
    (root / "missing").write_text(missing)
    return FakeTracefs(root, proc)


def run_process(tracefs: Tracefs, pid: int, started: int) -> None:
    """Have /proc tell of a process."""
    (tracefs.proc / str(pid)).mkdir(exist_ok=True)
    fields = " ".join(["S", *["0"] * 18, str(started), "0"])
    (tracefs.proc / str(pid) / "stat").write_text(f"{pid} (a (odd) name) {fields}\n")


def no_types() -> Types | None:
    """Of a kernel that tells none."""
    return None


def recording(kernel: str) -> bytes:
    """A real recording of that kernel, as `iova record` made it in the emulator."""
    packed = (RECORDINGS / f"small-{kernel}.iovaring.zst").read_bytes()
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 24)


def pages(file: bytes) -> list[Part]:
    """The pages of a recording."""
    return [part for part in parts_of(memoryview(file)) if part.kind == Kind.PAGE]
