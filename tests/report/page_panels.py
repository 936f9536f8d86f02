"""The charts' data in a page, as its script finds it."""

from __future__ import annotations

import json
import re
from typing import Any


def panels_of(text: str) -> list[dict[str, Any]]:
    found = re.search(r'<script id="charts" type="application/json">(.*?)</script>', text, re.S)
    assert found
    panels: list[dict[str, Any]] = json.loads(found[1])
    return panels
