"""Builds trace text line by line, for the importer's tests."""

from __future__ import annotations

from pathlib import Path

from iova.sources import Loaded, load

DATA = Path(__file__).parent.parent / "data" / "traces"
TRACES = ("small4-6.1", "small4-6.12")

#: Addresses of domains: what the kernel prints, and what must never be in a row.
DOMAIN_A = 0xFF1CFBDAC1D8C408
DOMAIN_B = 0xFF1CFBDAC1D8D808


class TraceText:
    """Lines of a trace as tracefs prints them; time moves on by a microsecond a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.t_us = 1_000_000

    def add(
        self,
        event: str,
        fields: str = "",
        *,
        cpu: int = 0,
        task: str = "fio-77",
        t_us: int | None = None,
        flags: str = "..... ",
    ) -> TraceText:
        """Add one line; ``fields`` follow the probe's address."""
        return self.raw(event, f"(probe+0x4/0x90) {fields}", cpu, task, t_us, flags)

    def raw(
        self,
        event: str,
        payload: str,
        cpu: int = 0,
        task: str = "fio-77",
        t_us: int | None = None,
        flags: str = "..... ",
    ) -> TraceText:
        """Add one line with a payload as it is."""
        t = self.t_us if t_us is None else t_us
        self.t_us = t + 1
        seconds = f"{t // 1_000_000}.{t % 1_000_000:06}"
        self.lines.append(f"{task:>20} [{cpu:03}] {flags} {seconds}: {event}: {payload}".rstrip())
        return self

    def init(self, domain: int = DOMAIN_A, start: int = 1) -> TraceText:
        return self.add("b_init", f"iovad={domain:#x} granule=0x1000 start={start:#x}")

    def alloc(
        self, pfn: int, *, domain: int = DOMAIN_A, size: int = 1, cpu: int = 0, flush: int = 0
    ) -> TraceText:
        """An allocation and its return; ``pfn`` 0 is a failure."""
        self.add(
            "alloc_fast", f"iovad={domain:#x} size={size} limit=0xfffff flush={flush}", cpu=cpu
        )
        return self.add("alloc_fast_ret", f"iovad={domain:#x} size={size} pfn={pfn:#x}", cpu=cpu)

    def free(self, pfn: int, *, domain: int = DOMAIN_A, size: int = 1, cpu: int = 0) -> TraceText:
        """A free and its return."""
        self.add("free_fast", f"iovad={domain:#x} pfn={pfn:#x} size={size}", cpu=cpu)
        return self.add("free_fast_ret", f"iovad={domain:#x} pfn={pfn:#x}", cpu=cpu)

    def text(self) -> bytes:
        return "".join(line + "\n" for line in self.lines).encode()


def load_text(folder: Path, text: bytes | TraceText, *, allow_lost: bool = False) -> Loaded:
    """Load a text by way of a file."""
    path = folder / "trace.txt"
    path.write_bytes(text.text() if isinstance(text, TraceText) else text)
    return load(path, allow_lost=allow_lost)
