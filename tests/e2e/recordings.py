"""What the tests of recordings share: the load, what other probes counted, the command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from iova.events import Op

#: Generous: what takes two minutes on a free machine.
LIMIT_S = 900

#: What `loads.sh` counts, and the rows of a trace that must be as many.
COUNTED = {
    "alloc_iova_fast": Op.ALLOC,
    "free_iova_fast": Op.FREE,
    "alloc_iova": Op.TREE_ALLOC,
    "free_iova": Op.TREE_FREE,
    "remove_iova": Op.TREE_REMOVE,
    "iova_magazine_free_pfns": Op.MAGAZINE_FREE,
    "iova_depot_work_func": Op.RECLAIM,
    "put_iova_domain": Op.DESTROY,
}

_EVERYTHING = """\
drivers
mixed 1500
large 200
pinned 1500
elsewhere 300
traffic 2
hotplug $(($(nproc) - 1)) 1500
bursts 3 600
@REBIND@
"""


def everything(*, strict: bool = False) -> str:
    """Every load, in bash. The disk is bound anew so that its domain is another afterwards.

    A strict domain becomes a lazy one as it is, so there the way is by one without translation.
    """
    rebind = "rebind identity 100\nrebind DMA 800" if strict else "rebind DMA 800"
    return _EVERYTHING.replace("@REBIND@", rebind)


def iova(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command on the host; how it ended and what it said."""
    return subprocess.run(
        [sys.executable, "-m", "iova", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | {"COLUMNS": "80"},
    )


def iova_json(*arguments: object) -> dict[str, Any]:
    """What the command says with ``--json``; it must succeed."""
    done = iova(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def read_counts(path: Path) -> dict[str, int]:
    """Hits of each counted function, those that its probe missed included."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return {name: int(hits) + int(missed) for name, hits, missed in rows}
