"""What is known of each recorded domain beside its calls: device, mode, granule, birth."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from iova.events import DomainInfo
from iova.sources.record.machine import BDF

_MODES: Final = {"DMA": "strict", "DMA-FQ": "lazy"}
_MAX_NAME: Final = 64


@dataclass(frozen=True)
class Use:
    """A device that asked a domain for an address."""

    t: int  #: ns
    iovad: int  #: the domain's address in the kernel
    device: str
    granule: int
    start: int


@dataclass(frozen=True)
class Group:
    """Devices that share a domain."""

    mode: str | None
    devices: tuple[str, ...]
    driven: bool  #: one of them had a driver


def groups_of(values: object) -> list[Group]:
    """Groups as a recording's JSON has them; what is not of the expected form is left out."""
    found = []
    for value in values if isinstance(values, list) else []:
        if not isinstance(value, dict):
            continue
        devices = tuple(map(clean_name, _list(value.get("devices"))))
        mode = _MODES.get(str(value.get("type")))
        found.append(Group(mode, devices, bool(_list(value.get("driven")))))
    return found


def _list(value: object) -> list[str]:
    return [part for part in value if isinstance(part, str)] if isinstance(value, list) else []


def clean_name(name: str) -> str:
    """A device's name of which nothing is left that could not be printed."""
    return "".join(c for c in name[:_MAX_NAME] if c.isprintable())


def describe(
    domains: Sequence[DomainInfo],
    addresses: Sequence[int],
    first_seen: Mapping[int, int],
    uses: Iterable[Use],
    began: list[Group],
    ended: list[Group],
    start_t: int | None,
) -> list[DomainInfo]:
    """Add what the recorder saw to what the calls tell.

    Args:
        domains: as the calls tell them.
        addresses: of each domain.
        first_seen: by domain, the time of its first row, ns.
        uses: who asked which address for ranges.
        began: the groups at the recording's start.
        ended: the groups at its end.
        start_t: when the recording began, ns; what was born before may have been used
            before.
    """
    used = _tied(addresses, first_seen, uses)
    modes = {group.mode for group in (*began, *ended)}
    only = modes.pop() if len(modes) == 1 else None
    described = []
    for info in domains:
        use = used.get(info.domain)
        group = _group_with(use.device, began if info.destroyed else ended) if use else None
        if use and not info.born:
            info = replace(info, granule=use.granule, start=use.start)
        before = start_t is not None and first_seen.get(info.domain, start_t) < start_t
        described.append(
            replace(
                info,
                device=use.device if use else None,
                mode=group.mode if group else only,
                born=info.born and not (before and _was_in_use(use, began)),
            )
        )
    return described


def _was_in_use(use: Use | None, began: list[Group]) -> bool:
    """Whether somebody could have asked for ranges before the recording began."""
    if use is None:
        return any(group.driven for group in began)
    group = _group_with(use.device, began)
    return group is None or group.driven


def _group_with(device: str, groups: list[Group]) -> Group | None:
    return next((group for group in groups if device in group.devices), None)


def _tied(
    addresses: Sequence[int], first_seen: Mapping[int, int], uses: Iterable[Use]
) -> dict[int, Use]:
    """By domain, its first use. An address can be that of several domains, one after another."""
    by_address: dict[int, list[tuple[int, int]]] = {}
    for number, address in enumerate(addresses):
        by_address.setdefault(address, []).append((first_seen.get(number, 0), number))
    tied: dict[int, Use] = {}
    for use in uses:
        owners = by_address.get(use.iovad)
        if not owners or not use.device:
            continue
        # The use is told before the call it leads to, which may be the domain's first.
        at = bisect_right(owners, (use.t, len(addresses))) - 1
        tied.setdefault(owners[max(at, 0)][1], use)
    return tied


def numbers_of_devices(
    domains: Sequence[DomainInfo], wanted: Iterable[str], groups: list[Group]
) -> set[int]:
    """Domains of these devices, or of one in the same group."""
    shared: set[str] = set()
    for device in wanted:
        group = _group_with(device, groups)
        shared |= set(group.devices) if group else {device}
    return {info.domain for info in domains if info.device in shared}


def devices_in(value: Any) -> tuple[str, ...]:
    """The devices a recording is of; none: of all."""
    return tuple(name for name in _list(value) if BDF.fullmatch(name))
