"""How fast trace text becomes events: lines a second, beside Polars and Python's ``re``.

    python benchmarks/scan.py [TRACE] [--runs N] [--lines N] [--json]

The text is a trace of the test data, repeated with its times moved on until it has the lines asked
for. In each run, one after the other: the C scanner over the text in memory; `convert` of the text
in a file into Parquet; Polars splitting each line at `: ` (task and time, event, fields), which is
less than what the scanner does; Python's `re` taking a part of the lines apart; the scanner over
text of `perf script`, a sample of the test data repeated in the same way. What is printed are the
medians, and ratios of the same run.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl
import zstandard

from iova.sources._scan import Scanner
from iova.sources.convert import convert

DEFAULT_TRACE = Path(__file__).parent.parent / "tests" / "data" / "traces" / "small4-6.12.txt.zst"
PERF_SAMPLE = DEFAULT_TRACE.parent.parent / "importers" / "perf-script.txt.zst"
PIECE = 1 << 18
RE_LINES = 50_000

_TIME = re.compile(rb"(\d+)(\.\d{6,9}: )")
_LINE = re.compile(
    r"\s*(?P<task>.*)-(?P<pid>\d+)\s+\[(?P<cpu>\d+)\]\s+(?:\S+\s+)?(?P<t>\d+\.\d+): (?P<event>\w+):"
    r"(?P<fields>.*)"
)
_FIELD = re.compile(r"(\w+)=(\S+)")


def unpacked(path: Path) -> bytes:
    """A trace's text, plain or compressed."""
    text = path.read_bytes()
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj().decompress(text)
    return text


def repeated(text: bytes, lines: int) -> bytes:
    """The text often enough for so many lines, each time later than before."""
    head, body = _split_head(text)
    seconds = 1 + max(int(match[1]) for match in _TIME.finditer(body))
    count = max(1, round(lines / body.count(b"\n")))
    parts = [head]
    for i in range(count):
        shift = i * seconds
        parts.append(_TIME.sub(partial(_moved_on, shift), body))
    return b"".join(parts)


def _moved_on(seconds: int, match: re.Match[bytes]) -> bytes:
    return b"%d%s" % (int(match[1]) + seconds, match[2])


def _split_head(text: bytes) -> tuple[bytes, bytes]:
    """Comments at the start, and the lines after them."""
    end = 0
    while text[end : end + 1] in (b"#", b"c"):
        end = text.index(b"\n", end) + 1
    return text[:end], text[end:]


def scanned(text: bytes, perf: bool = False) -> None:
    """The whole scanner: lines, pairs, domains, slots, columns."""
    scanner = Scanner(1, perf=perf)
    view = memoryview(text)
    for start in range(0, len(text), PIECE):
        scanner.feed(view[start : start + PIECE])
    scanner.finish()


def split_by_polars(text: bytes) -> None:
    """Each line into three parts."""
    frame = pl.read_csv(
        io.BytesIO(text), has_header=False, separator="\x01", quote_char=None, new_columns=["line"]
    )
    frame.select(pl.col("line").str.splitn(": ", 3))


def taken_apart_by_re(lines: list[str]) -> None:
    """Each line into its parts and its fields, as strings."""
    for line in lines:
        match = _LINE.match(line)
        if match:
            dict(_FIELD.findall(match["fields"]))


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(text: bytes, runs: int) -> dict[str, list[float]]:
    """Lines a second of each contender, one value a run."""
    lines = text.count(b"\n")
    some = text.decode(errors="replace").split("\n")[:RE_LINES]
    perf = repeated(unpacked(PERF_SAMPLE), lines)
    perf_lines = perf.count(b"\n")
    rates: dict[str, list[float]] = {"scan": [], "perf": [], "parquet": [], "polars": [], "re": []}
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "trace.txt", Path(folder) / "trace.parquet"
        source.write_bytes(text)
        for _ in range(runs):
            rates["scan"].append(lines / seconds_of(lambda: scanned(text)))
            rates["perf"].append(perf_lines / seconds_of(lambda: scanned(perf, perf=True)))
            rates["parquet"].append(lines / seconds_of(lambda: convert(source, out)))
            rates["polars"].append(lines / seconds_of(lambda: split_by_polars(text)))
            rates["re"].append(len(some) / seconds_of(lambda: taken_apart_by_re(some)))
    return rates


def report(rates: dict[str, list[float]]) -> dict[str, float]:
    """Medians in millions of lines a second, and medians of the ratios of each run."""
    found = {f"{name}_mlines_s": statistics.median(r) / 1e6 for name, r in rates.items()}
    pairs = zip(rates["perf"], rates["scan"], strict=True)
    found["perf_over_scan"] = statistics.median(a / b for a, b in pairs)
    for name in ("scan", "parquet"):
        for other in ("polars", "re"):
            pairs = zip(rates[name], rates[other], strict=True)
            found[f"{name}_over_{other}"] = statistics.median(a / b for a, b in pairs)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed of the trace importer.")
    parser.add_argument("trace", nargs="?", type=Path, default=DEFAULT_TRACE)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    text = repeated(unpacked(arguments.trace), arguments.lines)
    found = report(measure(text, arguments.runs))
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    lines = text.count(b"\n")
    print(f"{arguments.trace.name}: {lines} lines, {len(text) / 1e6:.0f} MB, {arguments.runs} runs")
    for label, name in (
        ("scanned into columns", "scan"),
        ("perf script scanned", "perf"),
        ("text file to Parquet", "parquet"),
        ("split by Polars", "polars"),
        ("taken apart by re", "re"),
    ):
        print(f"  {label:<22}{found[f'{name}_mlines_s']:8.2f} million lines/s")
    print(
        f"  perf's text at {found['perf_over_scan']:.2f} x the rate of tracefs'\n"
        f"  scanned: {found['scan_over_polars']:.1f} x Polars, {found['scan_over_re']:.0f} x re;"
        f" to Parquet: {found['parquet_over_polars']:.1f} x Polars,"
        f" {found['parquet_over_re']:.0f} x re"
    )


if __name__ == "__main__":
    main()
