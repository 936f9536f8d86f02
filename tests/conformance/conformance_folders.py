"""Conformance folders for tests: the project's vectors, and small ones written by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstandard

VECTORS = Path(__file__).parent.parent / "data" / "conformance"
HEADER = "t_us,cpu,op,a,b,c,d,rA,rB,rC"

#: FNV-1a of nothing at all.
HASH_OF_NOTHING = "cbf29ce484222325"


def vector_names() -> list[str]:
    manifest = json.loads((VECTORS / "manifest.json").read_bytes())
    return [entry["name"] for entry in manifest["sequences"]]


def read_lines(path: Path) -> list[str]:
    text = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()).decode()
    return text.splitlines()


def write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_bytes(zstandard.ZstdCompressor().compress("".join(f"{n}\n" for n in lines).encode()))


def copy_vector(name: str, folder: Path) -> tuple[Path, Path]:
    """Copy one sequence into a folder without a manifest; its rows' and its snapshots' file."""
    copies = []
    for suffix in (".csv.zst", ".states.jsonl.zst"):
        copies.append(folder / f"{name}{suffix}")
        copies[-1].write_bytes((VECTORS / copies[-1].name).read_bytes())
    return copies[0], copies[1]


def states_of_new_domain(row: int, **fields: Any) -> list[str]:
    """Snapshots, one a variant, of a 4 KiB domain with one CPU in which nothing happened yet."""
    state = {
        "op": row, "t": 0, "var": "?", "online": 1, "ranges": 0, "pages": 0,
        "ranges_hash": HASH_OF_NOTHING, "cached": -1, "cached32": -1, "max32": 2**20,
        "mags": 0, "warns": 0, "works_run": 0, "rcache": None,
    }  # fmt: skip
    return [json.dumps({**state, "var": variant, **fields}) for variant in "ABC"]


def write_folder(folder: Path, rows: Sequence[str], states: Sequence[str] = ()) -> Path:
    """A folder with one sequence, ``small``, and a manifest that fits it.

    Args:
        folder: where.
        rows: without their header, which is added.
        states: one JSON object each.
    """
    lines = {"ops": [HEADER, *rows], "states": list(states)}
    files = {"ops": "small.csv.zst", "states": "small.states.jsonl.zst"}
    sums = {}
    for kind, name in files.items():
        write_lines(folder / name, lines[kind])
        text = "".join(f"{line}\n" for line in lines[kind])
        sums[kind] = hashlib.sha256(text.encode()).hexdigest()
    entry = {"name": "small", "rows": len(rows), "files": files, "sha256_uncompressed": sums}
    manifest = {"format_version": 1, "sequences": [entry]}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return folder
