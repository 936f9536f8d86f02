"""What keeps a kernel from being recorded."""

from __future__ import annotations

from iova.errors import IovaError


class RecordError(IovaError):
    """It cannot be recorded here: what is missing, and what to do, in a sentence each."""
