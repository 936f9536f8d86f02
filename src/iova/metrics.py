"""What the process's live domains hold and do, for Prometheus.

A server in a thread of its own shows them::

    with iova.metrics.serve() as server:  # http://127.0.0.1:9814/metrics
        ...

or, in a program that has a registry of its own::

    registry.register(iova.metrics.DomainCollector())

Every scrape reads every domain that is open at that moment. Domains of the same name are added up,
but for the longest free piece, of which the longest is told. Counters of a domain end with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

from iova.closing import ClosedOnLeaving
from iova.domain import open_domains
from iova.domain_stats import ClassStats, DomainStats
from iova.errors import Closed, IovaError

try:
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector
except ImportError as error:
    raise IovaError(
        "iova.metrics needs prometheus-client: install it with  pip install 'iova[live]'"
    ) from error

DEFAULT_PORT: Final = 9814


# -------------------------------------------------------------------------------- metrics


@dataclass(frozen=True)
class _Metric:
    """One metric: its name without prefix, what it says, and where it is read."""

    name: str
    help: str
    read: Callable[[Any], float]
    counter: bool = False
    combine: Callable[[float, float], float] = lambda one, other: one + other

    def family(self, labels: list[str]) -> GaugeMetricFamily | CounterMetricFamily:
        kind = CounterMetricFamily if self.counter else GaugeMetricFamily
        return kind(f"iova_{self.name}", self.help, labels=labels)


def _of(field: str) -> Callable[[Any], float]:
    return lambda stats: getattr(stats, field)


#: One value a domain; labelled ``domain``.
_OF_DOMAIN: Final = (
    _Metric("live_ranges", "Ranges handed out", _of("live")),
    _Metric("live_bytes", "Bytes of the ranges handed out", _of("live_bytes")),
    _Metric("deferred_ranges", "Ranges that wait for an IOTLB flush", _of("deferred")),
    _Metric("cached_bytes", "Bytes of free ranges in magazines", _of("cached_bytes")),
    _Metric("free_bytes", "Bytes of the windows that nothing holds", _of("free_bytes")),
    _Metric("largest_gap_bytes", "The longest free piece", _of("largest_gap_bytes"), combine=max),
    _Metric("memory_bytes", "Memory the domain holds", _of("memory_bytes")),
    _Metric("magazines", "Magazines allocated now", _of("magazines")),
    _Metric("open_domains", "Open domains of that name", lambda _stats: 1),
    _Metric("iotlb_flushes", "IOTLB flushes asked of on_flush", _of("iotlb_flushes"), counter=True),
)

#: One value a domain and size class; labelled ``domain`` and ``size_bytes``.
_OF_CLASS: Final = (
    _Metric("cached_ranges", "Free ranges in magazines", _of("cached")),
    _Metric("depot_magazines", "Full magazines in the depot", _of("depot")),
    _Metric("depot_pushes", "Magazines CPUs put into the depot", _of("pushed"), counter=True),
    _Metric("depot_pops", "Magazines CPUs took from the depot", _of("popped"), counter=True),
    _Metric("tree_allocations", "Ranges cut from the tree", _of("tree_allocations"), counter=True),
    _Metric("tree_frees", "Ranges given back to the tree", _of("tree_frees"), counter=True),
    _Metric("allocation_failures", "Allocations that failed", _of("failures"), counter=True),
    _Metric("cache_puts", "Frees that the cache took", _of("puts"), counter=True),
    _Metric(
        "reclaimed_magazines",
        "Magazines the background thread emptied into the tree",
        _of("reclaimed"),
        counter=True,
    ),
    _Metric("trimmed_magazines", "Per-CPU magazines given back", _of("trimmed"), counter=True),
    _Metric("reclaim_runs", "Looks of the policy", _of("runs"), counter=True),
)

#: Where an allocation was served from, and the counter that says so.
_SOURCES: Final = ("loaded", "previous", "depot")


class DomainCollector(Collector):
    """Collects all live domains of the process; register it with any registry."""

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Read every open domain once."""
        read = [(domain.name, stats) for domain in open_domains() if (stats := _stats(domain))]
        for metric in _OF_DOMAIN:
            yield _filled(metric, ["domain"], (((name,), stats) for name, stats in read))
        classes = [
            ((name, _label(one)), one)
            for name, stats in read
            for one in (*stats.classes, stats.beyond)
        ]
        for metric in _OF_CLASS:
            yield _filled(metric, ["domain", "size_bytes"], classes)
        yield _filled(
            _Metric("cache_hits", "Allocations served from magazines", _hits, counter=True),
            ["domain", "size_bytes", "source"],
            (((*labels, source), (one, source)) for labels, one in classes for source in _SOURCES),
        )


def _stats(domain: Any) -> DomainStats | None:
    try:
        stats: DomainStats = domain.stats()
    except Closed:  # since it was listed
        return None
    return stats


def _label(one: ClassStats) -> str:
    return "uncached" if one.size_bytes is None else str(one.size_bytes)


def _hits(hit: tuple[ClassStats, str]) -> float:
    one, source = hit
    return int(getattr(one, f"hits_{source}"))


def _filled(
    metric: _Metric, labels: list[str], samples: Iterable[tuple[tuple[str, ...], Any]]
) -> GaugeMetricFamily | CounterMetricFamily:
    """A family with one sample for each set of label values."""
    values: dict[tuple[str, ...], float] = {}
    for key, stats in samples:
        value = metric.read(stats)
        values[key] = metric.combine(values[key], value) if key in values else value
    family = metric.family(labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


# -------------------------------------------------------------------------------- serving


class MetricsServer(ClosedOnLeaving):
    """An HTTP server in a thread of its own; a context manager that closes it.

    Attributes:
        address: it listens on.
        port: it listens on; chosen by the system where 0 was asked for.
    """

    def __init__(self, server: Any, thread: Thread) -> None:
        self._server = server
        self._thread = thread
        self.address: str
        self.port: int
        self.address, self.port = server.server_address[:2]

    @property
    def url(self) -> str:
        """Where to scrape."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{self.port}/metrics"

    def close(self) -> None:
        """Stop listening; a scrape that is being answered is finished. May be called again."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(port: int = DEFAULT_PORT, address: str = "127.0.0.1") -> MetricsServer:
    """Serve the metrics of all live domains of this process over HTTP, at ``/metrics``.

    Args:
        port: to listen on; 0: any that is free.
        address: to listen on. The default is reachable from this machine only; there is no
            password, so think before giving another.

    Raises:
        TypeError: the port is no whole number.
        ValueError: there is no such port.
        OSError: the port is taken, or the address is not one of this machine.
    """
    if isinstance(port, bool) or not hasattr(port, "__index__"):
        raise TypeError(f"port must be a whole number, not {port!r}")
    if not 0 <= port < 1 << 16:
        raise ValueError(f"port {port} is not within 0..65535")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(DomainCollector())
    return MetricsServer(*start_http_server(port, address, registry))
