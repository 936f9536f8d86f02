"""Run a notebook from top to bottom in a new kernel, and hold its outputs against those stored.

    notebook.py FILE.ipynb [--write]

Texts must be the same; of pictures there must be as many. With --write the outputs are stored.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def shown(cell: Any) -> list[str]:
    """What a cell shows: texts as they are, pictures by their kind."""
    out = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        pictures = sorted(kind for kind in data if kind.startswith("image/"))
        out += pictures or [output.get("text") or data.get("text/plain", "")]
    return out


def warnings_of(cell: Any) -> list[str]:
    """What a cell wrote to standard error."""
    return [one["text"] for one in cell.get("outputs", []) if one.get("name") == "stderr"]


def main() -> int:
    """Exit status 1 if an output is not as stored."""
    path = Path(sys.argv[1])
    stored = nbformat.read(path, as_version=4)
    fresh = nbformat.read(path, as_version=4)
    nbformat.validate(stored)
    resources = {"metadata": {"path": path.parent}}
    # In how many pieces a cell's text arrives is the machine's affair.
    client = NotebookClient(
        fresh, kernel_name="python3", timeout=300, resources=resources, coalesce_streams=True
    )
    try:
        client.execute()
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    warned = [text for cell in fresh.cells for text in warnings_of(cell)]
    if warned:
        print("a cell warns:", *warned, file=sys.stderr)
        return 1
    if "--write" in sys.argv[2:]:
        for cell in fresh.cells:
            cell.metadata.pop("execution", None)  # when it ran
        nbformat.write(fresh, path)
        return 0
    wrong = 0
    for number, (was, now) in enumerate(zip(stored.cells, fresh.cells, strict=True)):
        if shown(was) != shown(now):
            wrong += 1
            print(f"cell {number}: stored\n{shown(was)}\nnow\n{shown(now)}", file=sys.stderr)
    ran = sum(cell.cell_type == "code" for cell in fresh.cells)
    print(f"{path}: {ran - wrong} passed, {wrong} failed")
    return int(wrong > 0 or ran == 0)


sys.exit(main())
