"""Being root, but bound by permissions like everybody else: root's tests can try them as well."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

#: ``linux/capability.h``: version 3, and the two that overrule a file's permissions.
_VERSION: Final = 0x20080522
_OVERRULING: Final = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


class _Head(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


@contextmanager
def bound_by_permissions() -> Iterator[None]:
    """This thread may do to files what their modes say, and no more."""
    libc = ctypes.CDLL(None, use_errno=True)
    head, sets = _Head(_VERSION, 0), (_Set * 2)()

    def checked(status: int) -> None:
        if status:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    checked(libc.capget(ctypes.byref(head), sets))
    had = sets[0].effective
    sets[0].effective = had & ~_OVERRULING
    checked(libc.capset(ctypes.byref(head), sets))
    try:
        yield
    finally:
        sets[0].effective = had
        checked(libc.capset(ctypes.byref(head), sets))
