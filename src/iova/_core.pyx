# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=False, embedsignature.format=clinic, binding=False
"""The binding: libiova as the lab needs it, with CPU and time given by the caller, and live.

Documented in ``_core.pyi``.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

import operator
import reprlib
import types

import numpy as np

cimport iova._libiova as c

MAX_CLASSES = c.IOVA_MAX_CLASSES
BEYOND_CLASSES = c.IOVA_BEYOND_CLASSES
MAGAZINE_CAPACITY = c.IOVA_MAGAZINE_CAPACITY
AUTO = c.IOVA_AUTO
VERSION = c.iova_version().decode()

cdef uint64_t ANCHOR = <uint64_t>-1
cdef const c.iova_memory *heap = c.iova_memory_heap()

include "_core_memory.pxi"
include "_core_designs.pxi"
include "_core_domains.pxi"
include "_core_replay.pxi"
include "_core_machine.pxi"
include "_core_live.pxi"
include "_core_recording.pxi"
include "_core_forced.pxi"
