"""A live process's domains, by way of its metrics endpoint (:mod:`iova.metrics`)."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from iova.errors import InputError, IovaError
from iova.top.look import BEYOND, MAGAZINE, About, Cell, Key, Look
from iova.words import printable

try:
    from prometheus_client.parser import text_string_to_metric_families
except ImportError as error:
    raise IovaError(
        "iova top needs prometheus-client for a URL: install it with  pip install 'iova[live]'"
    ) from error

_MOST_BYTES: Final = 16 << 20
_TIMEOUT_S: Final = 5

#: Samples that are read, and the field of a cell that each adds to.
_FIELDS: Final = {
    "iova_cache_hits_total": ("allocs",),
    "iova_tree_allocations_total": ("allocs", "tree"),
    "iova_cache_puts_total": ("puts",),
    "iova_tree_frees_total": ("tree_frees",),
    "iova_depot_magazines": ("depot",),
    "iova_cached_ranges": ("cached",),
    "iova_reclaimed_magazines_total": ("reclaimed",),
}


class Endpoint:
    """The domains behind a URL.

    Raises:
        InputError: nothing answers there, or it knows no domain of this package.
    """

    def __init__(self, url: str) -> None:
        self.about = About(url, "live")
        self.speed: float | None = None
        self._url = url
        self._start = time.monotonic()
        self._first: Look | None = self._scraped()

    def look(self, elapsed_s: float) -> Look | None:  # noqa: ARG002 - what is live is as it is
        """See :class:`iova.top.look.Watched`."""
        look, self._first = self._first or self._scraped(), None
        return look

    def close(self) -> None:
        """Nothing is kept open between two looks."""

    def _scraped(self) -> Look:
        text = self._fetched()
        try:
            return look_of(text, time.monotonic() - self._start)
        except (ValueError, KeyError, IndexError, OverflowError) as error:
            told = printable(str(error))[:100]
            raise InputError(
                self._url, f"answers with what is no text of Prometheus: {told}."
            ) from error

    def _fetched(self) -> str:
        try:
            with urllib.request.urlopen(self._url, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                content: bytes = answer.read(_MOST_BYTES + 1)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            told = getattr(reason, "strerror", None) or reason
            raise InputError(
                self._url,
                f"does not answer: {printable(str(told))[:100]}.",
                hint="In the process to be watched call iova.metrics.serve().",
            ) from error
        if len(content) > _MOST_BYTES:
            raise InputError(self._url, f"answers with more than {_MOST_BYTES >> 20} MiB.")
        return content.decode("utf-8", errors="replace")


def look_of(text: str, t_s: float) -> Look:
    """What the text of a scrape says.

    Raises:
        ValueError: it is no such text, or tells of no domain.
    """
    values: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    memory = 0
    for sample in _samples(text):
        if sample.name == "iova_memory_bytes":
            memory += int(sample.value)
        for field in _FIELDS.get(sample.name, ()):
            values[_key(sample.labels)][field] += int(sample.value)
    if not values:
        raise ValueError("no metric of a domain is in it")
    cells = {
        key: _cell(found, cached=key.size != BEYOND)
        for key, found in values.items()
        if found["allocs"] or found["puts"] or found["tree_frees"]
    }
    return Look(t_s, cells, memory_bytes=memory)


def _samples(text: str) -> Iterable[Any]:
    for family in text_string_to_metric_families(text):
        if family.name.startswith("iova_"):
            yield from family.samples


def _key(labels: dict[str, str]) -> Key:
    size = labels["size_bytes"]
    return Key(labels["domain"], BEYOND if size == "uncached" else int(size))


def _cell(found: dict[str, int], *, cached: bool) -> Cell:
    return Cell(
        allocs=found["allocs"],
        frees=found["puts"] if cached else found["tree_frees"],
        tree=found["tree"],
        reclaimed=found["reclaimed"] if cached else None,
        depot=found["depot"] if cached else None,
        in_cpus=max(0, found["cached"] - MAGAZINE * found["depot"]) if cached else None,
    )
