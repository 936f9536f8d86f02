"""Seeds of ``fuzz_ring`` from recordings of real kernels: ``python tests/fuzz/ring_seeds.py``."""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from fake_tracefs import pages, recording  # noqa: E402
from iova.sources.record.pages import format_of  # noqa: E402
from iova.sources.record.ring_file import Kind, parts_of  # noqa: E402

#: A seed has pages up to so many bytes.
ROOM: Final = 10_000


def quoted_in(file: str, after: str) -> list[str]:
    """The words in quotation marks of the table that starts there."""
    text = (HERE / file).read_text()
    return re.findall(r'"(\w+)"', text[text.index(after) :].partition("};")[0])


def formats(file: bytes) -> bytes:
    """Those of the vocabulary's events, as the target reads them."""
    events = re.findall(
        r'NAMED\("(\w+)"\)', (HERE.parents[1] / "src/iova/sources/vocabulary.c").read_text()
    )
    names = quoted_in("fuzz_ring.c", "names[] = {")
    (start,) = [p for p in parts_of(memoryview(file)) if p.kind == Kind.START]
    listed = json.loads(file[start.offset : start.offset + start.length])["formats"]
    found = []
    for event, text in listed.items():
        layout = format_of(text)
        name = event.rpartition("/")[2]
        if layout is None or name not in events:
            continue
        known = [(names.index(field), *place) for field, *place in layout.fields if field in names]
        head = struct.pack("<BHB", events.index(name), layout.number, len(known))
        found.append(head + b"".join(struct.pack("<BHB", *field) for field in known))
    return bytes([len(found)]) + b"".join(found)


def main() -> None:
    """Write one seed from each kernel's start and one from its end."""
    for kernel in ("6.1", "6.12"):
        file = recording(kernel)
        for where, order in (("start", 1), ("end", -1)):
            seed, room = formats(file), ROOM
            chosen = []
            for page in pages(file)[::order]:
                room -= page.length
                if room < 0:
                    break
                chosen.append(page)
            for page in chosen[::order]:
                data = file[page.offset : page.offset + page.length]
                seed += struct.pack("<BH", page.cpu, len(data)) + data
            (HERE / "seeds" / "ring" / f"{kernel}-{where}.bin").write_bytes(seed)


if __name__ == "__main__":
    main()
