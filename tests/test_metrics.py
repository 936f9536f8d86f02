"""Metrics of live domains, scraped over HTTP as Prometheus does it."""

from __future__ import annotations

import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from iova import Domain
from iova.metrics import DomainCollector, MetricsServer, serve
from scripts import output_of

PAGE = 4096

pytestmark = pytest.mark.timeout(60)

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    with serve(port=0) as opened:
        yield opened


def scrape(server: MetricsServer) -> str:
    with urllib.request.urlopen(server.url, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
        text: str = answer.read().decode()
    return text


def samples_of(text: str) -> Samples:
    """Values by name and labels; a sample that is there twice is an error for Prometheus."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_a_scrape_shows_what_a_domain_holds(server: MetricsServer) -> None:
    with Domain(name="nic", classes=3) as domain:
        kept = domain.alloc_many(5, PAGE)
        domain.free_many(domain.alloc_many(300, 2 * PAGE), 2 * PAGE)
        domain.free(domain.alloc(2 * PAGE))
        domain.alloc(40 * PAGE)
        domain.defer(int(kept[0]))
        found, stats = samples_of(scrape(server)), domain.stats()
    assert value(found, "iova_live_ranges", domain="nic") == stats.live == 5
    assert value(found, "iova_live_bytes", domain="nic") == 44 * PAGE
    assert value(found, "iova_deferred_ranges", domain="nic") == 1
    assert value(found, "iova_cached_bytes", domain="nic") == 600 * PAGE
    assert value(found, "iova_free_bytes", domain="nic") == stats.free_bytes
    assert value(found, "iova_largest_gap_bytes", domain="nic") == stats.largest_gap_bytes
    assert value(found, "iova_memory_bytes", domain="nic") > 0
    assert value(found, "iova_magazines", domain="nic") == stats.magazines
    two = {"domain": "nic", "size_bytes": str(2 * PAGE)}
    assert value(found, "iova_cached_ranges", **two) == 300
    assert value(found, "iova_tree_allocations_total", **two) == 300
    assert value(found, "iova_cache_puts_total", **two) == 301
    hits = [
        value(found, "iova_cache_hits_total", **two, source=source)
        for source in ("loaded", "previous", "depot")
    ]
    assert sum(hits) == stats.classes[1].hits >= 1
    beyond = {"domain": "nic", "size_bytes": "uncached"}
    assert value(found, "iova_tree_allocations_total", **beyond) == 1
    sizes = {dict(labels)["size_bytes"] for name, labels in found if name == "iova_cached_ranges"}
    assert {"4096", "8192", "16384", "uncached"} <= sizes


def test_names_and_help_are_as_prometheus_wants_them(server: MetricsServer) -> None:
    with Domain():
        text = scrape(server)
    families = list(text_string_to_metric_families(text))
    assert len(families) == 22
    for family in families:
        assert family.name.startswith("iova_")
        assert family.documentation
        assert family.type in ("gauge", "counter")
        counted = {sample.name.endswith("_total") for sample in family.samples}
        assert counted == {family.type == "counter"}


def test_every_open_domain_is_there_and_no_closed_one(server: MetricsServer) -> None:
    def names() -> set[str]:
        found = samples_of(scrape(server))
        return {dict(labels)["domain"] for name, labels in found if name == "iova_live_ranges"}

    one, two = Domain(name="one"), Domain(name='t"w\\o\n')
    assert {"one", 't"w\\o\n'} <= names()
    one.close()
    assert "one" not in names()
    del two
    assert 't"w\\o\n' not in names()


def test_domains_of_one_name_are_added_up(server: MetricsServer) -> None:
    with Domain(name="twin") as one, Domain(name="twin", windows=[(0x10000, 0x1FFFF)]) as two:
        one.alloc_many(3, PAGE)
        two.alloc_many(4, PAGE)
        found, largest = samples_of(scrape(server)), one.stats().largest_gap_bytes
    assert value(found, "iova_live_ranges", domain="twin") == 7
    assert value(found, "iova_open_domains", domain="twin") == 2
    assert value(found, "iova_largest_gap_bytes", domain="twin") == largest


def test_a_registry_of_ones_own() -> None:
    registry = CollectorRegistry()
    registry.register(DomainCollector())
    with Domain(name="own") as domain:
        domain.alloc(PAGE)
        assert registry.get_sample_value("iova_live_ranges", {"domain": "own"}) == 1


def test_scrapes_while_domains_come_and_go(server: MetricsServer) -> None:
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            with Domain(name="brief") as domain:
                domain.free(domain.alloc(PAGE))

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            samples_of(scrape(server))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_it_listens_on_loopback_only_and_stops_when_closed() -> None:
    server = serve(port=0)
    assert server.address == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.port}/metrics"
    scrape(server)
    server.close()
    server.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.address, server.port), timeout=5)


@pytest.mark.parametrize("port", ["x", 1.5, None, True])
def test_a_port_that_is_no_number_is_named(port: Any) -> None:
    with pytest.raises(TypeError, match=f"port must be a whole number, not {port!r}"):
        serve(port=port)


def test_a_port_that_is_taken_is_an_error() -> None:
    with serve(port=0) as server, pytest.raises(OSError, match="in use"):
        serve(port=server.port)


def test_a_program_may_end_while_it_serves() -> None:
    code = """
    import iova, iova.metrics
    domain = iova.Domain()
    server = iova.metrics.serve(port=0)
    print("end")
    """
    assert output_of(code) == "end"


def test_without_prometheus_client_one_sentence_says_what_to_install() -> None:
    code = """
    import sys
    sys.modules["prometheus_client"] = None
    import iova
    try:
        import iova.metrics
    except iova.IovaError as error:
        print(error)
    """
    assert output_of(code) == (
        "iova.metrics needs prometheus-client: install it with  pip install 'iova[live]'"
    )
