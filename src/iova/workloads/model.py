"""The closed-loop model of a workload: a machine, domains, and flows of requests through them.

A *submitter* keeps ``depth`` requests outstanding. Each of them thinks, waits until the device
takes it, is submitted on the submitter's CPU, which allocates a range and maps it, spends its
latency in the device, and completes on the CPU that the interrupt map gives, which unmaps it: the
range is freed at once (``strict``) or through the flush queue (``lazy``). Then it thinks again.

Field names are the keys of a workload's TOML, units included. What is written here is what a user
wrote; :func:`iova.workloads.lower` makes numbers of it. The :class:`Annotated` bounds are enforced
when an object is made.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from iova.workloads.checks import Real, Whole, Words, WorkloadError, check_fields
from iova.workloads.cpus import MAX_CPUS, CpuListError, parse_cpus
from iova.workloads.distributions import Distribution

MAX_LANES: Final = 1 << 22
MAX_FLOWS: Final = 64
MAX_SIZES: Final = 64
MAX_DOMAINS: Final = 4096
MAX_RESERVED: Final = 64
#: Magazines that the domains of a workload may have at creation, 1 KiB each.
MAX_MAGAZINES: Final = 1 << 22
#: Slots of all flush queues together.
MAX_SLOTS: Final = 1 << 25

_SLOTS_PER_CPU: Final = 256
_SLOTS_SINGLE: Final = 32768
_MOST_EVERY: Final = 0xFFFF_FFFF
_MAX_S: Final = 1e6
_MAX_MS: Final = 1e9
_MAX_US: Final = 1e12
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")

Cpus = Annotated[int, Whole(1, MAX_CPUS)]
CpuList = Annotated[str, Words(4096)]
Ms = Annotated[float, Real(0, _MAX_MS)]
Us = Annotated[float, Real(0, _MAX_US)]


@dataclass(frozen=True)
class MachineShape:
    """The machine; its CPUs are numbered node by node."""

    cpus: Cpus  #: that may ever be
    cpus_online: Annotated[int | None, Whole(1, MAX_CPUS)] = None  #: the first ones; None: all
    cpus_per_node: Annotated[int | None, Whole(1, MAX_CPUS)] = None  #: None: one node
    classes: Annotated[int, Whole(1, 10)] = 6  #: size classes of the caches

    def __post_init__(self) -> None:
        check_fields(self)
        if self.online > self.cpus:
            raise WorkloadError(
                "cpus_online", f"must be at most cpus, {self.cpus}, not {self.online}."
            )

    @property
    def online(self) -> int:
        """CPUs that are online, the ones numbered from 0."""
        return self.cpus if self.cpus_online is None else self.cpus_online


@dataclass(frozen=True)
class DomainGroup:
    """``count`` domains of one kind; those that no flow names are idle."""

    name: str
    count: Annotated[int, Whole(1, MAX_DOMAINS)] = 1
    granule: Annotated[int, Whole(1, 65536)] = 4096  #: bytes of a page
    start: Annotated[int, Whole(1, (1 << 63) - 1)] = 1  #: lowest pfn that is handed out
    reserved: tuple[tuple[int, int], ...] = ()  #: first and last pfn of ranges kept out
    mode: Literal["strict", "lazy"] = "strict"
    queue: Literal["per-cpu", "single"] = "per-cpu"  #: flush queue's rings
    #: ``covered``: a finished flush covers all that was queued before it began
    queue_rule: Literal["linux", "covered"] = "linux"
    flush_us: Us = 2.0  #: one IOTLB flush
    stall_every: Annotated[int, Whole(0, (1 << 32) - 1)] = 0  #: 0: none
    stall_ms: Ms = 0.0  #: so much longer takes every stall_every-th flush

    def __post_init__(self) -> None:
        check_fields(self)
        check_name("domain", self.name)
        if self.granule & (self.granule - 1):
            raise WorkloadError("granule", f"must be a power of two, not {self.granule}.")
        _check_reserved(self.reserved)


@dataclass(frozen=True)
class Size:
    """A size of request, and how often it comes beside the others."""

    pages: Annotated[int, Whole(1, 1 << 24)]
    weight: Annotated[int, Whole(1, 1_000_000)] = 1

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Flow:
    """One closed loop: submitters, a device and its interrupts."""

    name: str
    domain: Annotated[str, Words(40)]  #: submitter s uses the s-th of the group, round and round
    submit_cpus: CpuList = "all"  #: submitter s starts on the s-th, round and round
    submitters: Annotated[int | None, Whole(1, MAX_LANES)] = None  #: None: one per submit CPU
    depth: Annotated[int, Whole(1, MAX_LANES)] = 1  #: outstanding requests of a submitter
    in_flight: Annotated[int, Whole(0, MAX_LANES)] = 0  #: the device takes so many; 0: no limit
    complete_cpus: Annotated[str | None, Words(4096)] = (
        None  #: CPU of each queue; None: where it was submitted
    )
    resubmit: Literal["submitter", "completion"] = "submitter"  #: CPU of a request's next turn
    think_us: Us | Distribution = 0.0
    latency_us: Us | Distribution = 0.0
    device_miops: Annotated[float, Real(0, 1e6)] = 0.0  #: million requests/s; 0: no bound
    submit_work_us: Us = 0.0  #: CPU work beside the allocator
    complete_work_us: Us = 0.0
    sizes: tuple[Size, ...] = (Size(1),)
    limit_bits: Annotated[int, Whole(16, 64)] = 48  #: DMA addresses of the device
    limit_rule: Literal["plain", "32-always", "32-until-failure", "by-design"] = "32-until-failure"
    on_ms: Ms = 0.0  #: submits so long,
    off_ms: Ms = 0.0  #: is quiet so long, and so on; 0: never quiet
    migrate_ms: Ms = 0.0  #: submitters move to another of their CPUs so often; 0: never
    rebind_ms: Ms = 0.0  #: the driver is unbound and bound to a new domain so often; 0: never
    start_ms: Ms = 0.0
    leak_every: Annotated[int, Whole(0, _MOST_EVERY)] = 0  #: the driver never frees every so-manyth
    wrong_size_every: Annotated[int, Whole(0, _MOST_EVERY)] = 0  #: ... frees it as of
    wrong_size_pages: Annotated[int, Whole(1, 1 << 24)] = 1  #: so many pages

    def __post_init__(self) -> None:
        check_fields(self)
        check_name("flow", self.name)
        for key in ("think_us", "latency_us"):
            _check_times(key, getattr(self, key))
        for key in ("submit_cpus", "complete_cpus"):
            if getattr(self, key) is not None:
                _cpu_list(key, getattr(self, key), MAX_CPUS)
        if not 1 <= len(self.sizes) <= MAX_SIZES:
            raise WorkloadError("sizes", f"must be 1 to {MAX_SIZES} sizes, not {len(self.sizes)}.")
        if self.off_ms > 0 and self.on_ms <= 0:
            raise WorkloadError("on_ms", "must be above 0 where off_ms is.", "Set both, or none.")


@dataclass(frozen=True)
class Workload:
    """A machine, its domains and what flows through them, for so long, from one seed."""

    name: str
    duration_s: Annotated[float, Real(1e-6, _MAX_S)]  #: simulated
    machine: MachineShape
    domains: tuple[DomainGroup, ...]
    flows: tuple[Flow, ...]
    seed: Annotated[int, Whole(0, (1 << 63) - 1)] = 1
    summary: Annotated[str, Words(200)] = ""  #: one line
    source: Annotated[str, Words(4000)] = ""  #: where the shape comes from, what is a guess

    def __post_init__(self) -> None:
        check_fields(self)
        _check_unique("domain", [domain.name for domain in self.domains])
        _check_unique("flow", [flow.name for flow in self.flows])
        if not self.domains:
            raise WorkloadError("domain", "there is none.", "A workload has at least one.")
        if not 1 <= len(self.flows) <= MAX_FLOWS:
            raise WorkloadError(
                "flow", f"there are {len(self.flows)}; 1 to {MAX_FLOWS} can be simulated."
            )
        for flow in self.flows:
            self._check_domain(flow)
        self._check_cpu_lists()
        for flow in self.flows:
            self._check_queues(flow)
            self._check_rebinding(flow)
        self._check_memory()

    @property
    def lanes(self) -> int:
        """Requests that may be outstanding, those that wait for a device included."""
        return sum(self.submitters_of(flow) * flow.depth for flow in self.flows)

    def submit_cpus_of(self, flow: Flow) -> tuple[int, ...]:
        """The CPUs on which a flow is submitted."""
        return parse_cpus(flow.submit_cpus, self.machine.online)

    def complete_cpus_of(self, flow: Flow) -> tuple[int, ...]:
        """The CPU of each queue: queue c * queues // CPUs possible is that of CPU c."""
        online = self.machine.online
        if flow.complete_cpus is None:
            return tuple(min(cpu, online - 1) for cpu in range(self.machine.cpus))
        return parse_cpus(flow.complete_cpus, online)

    def submitters_of(self, flow: Flow) -> int:
        """Submitters of a flow."""
        return flow.submitters or len(self.submit_cpus_of(flow))

    def _check_domain(self, flow: Flow) -> None:
        where = f"flow.{flow.name}"
        names = [domain.name for domain in self.domains]
        if flow.domain not in names:
            known = ", ".join(names) or "none"
            raise WorkloadError(
                f"{where}.domain", f"there is no domain {flow.domain!r}.", f"There are: {known}."
            )

    def _check_cpu_lists(self) -> None:
        """Name all lists that do not fit at once: they are changed together."""
        errors = []
        for flow in self.flows:
            for key in ("submit_cpus", "complete_cpus"):
                try:
                    _cpu_list(key, getattr(flow, key) or "all", self.machine.online)
                except WorkloadError as error:
                    errors.append(error.under(f"flow.{flow.name}"))
        if not errors:
            return
        first, *others = errors
        if not others:
            raise first
        named = ", ".join(error.key for error in others[:_MOST_NAMED])
        more = ", ..." if len(others) > _MOST_NAMED else ""
        told = f"{named}{more} {'does' if len(others) == 1 else 'do'} not fit either."
        raise WorkloadError(first.key, f"{first.problem} {told}", first.hint)

    def _check_queues(self, flow: Flow) -> None:
        queues = self.complete_cpus_of(flow)
        if len(queues) > self.machine.cpus:
            raise WorkloadError(
                f"flow.{flow.name}.complete_cpus",
                f"has {len(queues)} queues; {self.machine.cpus} CPUs use a queue each at most.",
            )

    def _check_rebinding(self, flow: Flow) -> None:
        others = [one.name for one in self.flows if one.domain == flow.domain and one != flow]
        if flow.rebind_ms > 0 and others:
            raise WorkloadError(
                f"flow.{flow.name}.rebind_ms",
                f"domain {flow.domain} can not be renewed while flow {others[0]} uses it too.",
                "Give each its own domain.",
            )

    def _check_memory(self) -> None:
        if self.lanes > MAX_LANES:
            raise WorkloadError(
                "flow",
                f"submitters x depth of all flows is {self.lanes}; {MAX_LANES} is the most.",
                "Lower depth or submitters.",
            )
        domains = sum(domain.count for domain in self.domains)
        magazines = domains * self.machine.cpus * self.machine.classes * 2
        if domains > MAX_DOMAINS or magazines > MAX_MAGAZINES:
            raise WorkloadError(
                "domain",
                f"{domains} domains of {self.machine.cpus} CPUs start with {magazines} magazines;"
                f" {MAX_DOMAINS} domains and {MAX_MAGAZINES} magazines are the most.",
                "Lower count or machine.cpus.",
            )
        slots = sum(domain.count * self._slots(domain) for domain in self.domains)
        if slots > MAX_SLOTS:
            raise WorkloadError(
                "domain",
                f"flush queues of the lazy domains have {slots} slots; {MAX_SLOTS} is the most.",
                "Lower count or machine.cpus.",
            )

    def _slots(self, domain: DomainGroup) -> int:
        if domain.mode == "strict":
            return 0
        return _SLOTS_SINGLE if domain.queue == "single" else _SLOTS_PER_CPU * self.machine.cpus


def check_name(table: str, name: str) -> None:
    """Whether a domain or flow may be called so.

    Raises:
        WorkloadError: it may not.
    """
    if not _NAME.fullmatch(name):
        raise WorkloadError(
            table, f"{name[:60]!a} is no name.", "Use 1 to 40 letters, digits, '-' and '_'."
        )


def _check_unique(table: str, names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise WorkloadError(f"{table}.{name}", "is there twice.", "Names are unique.")


def _check_times(key: str, times: Distribution | float) -> None:
    if isinstance(times, Distribution):
        return
    problem = Real(0, _MAX_US).problem(times)
    if problem:
        raise WorkloadError(key, problem, 'Or write { spread = "exponential", mean = 100 }.')


def _check_reserved(reserved: tuple[tuple[int, int], ...]) -> None:
    if len(reserved) > MAX_RESERVED:
        raise WorkloadError("reserved", f"has {len(reserved)} ranges; {MAX_RESERVED} are the most.")
    pfn = Whole(0, (1 << 63) - 1)
    for first, last in reserved:
        problem = pfn.problem(first) or pfn.problem(last)
        if problem is None and last < first:
            problem = f"the range from {first:#x} to {last:#x} ends before it starts."
        if problem:
            raise WorkloadError("reserved", problem)


def _cpu_list(key: str, text: str, cpus: int) -> tuple[int, ...]:
    try:
        return parse_cpus(text, cpus)
    except CpuListError as error:
        raise WorkloadError(key, str(error), _CPU_HINT if cpus < MAX_CPUS else None) from error


#: Further lists that do not fit and are named.
_MOST_NAMED: Final = 12

_CPU_HINT: Final = 'Change the list or machine.cpus; a list of "all" follows it.'
