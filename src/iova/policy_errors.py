"""What a policy in Python raises, told as an error of its design."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from iova import _core
from iova.designs import DesignError, DesignSpec
from iova.errors import STOPS
from iova.words import shortened


@contextmanager
def blamed_on_policy(design: DesignSpec) -> Iterator[None]:
    """Around what calls a policy: its error becomes one that names the design and the place.

    Errors under a built-in design, those of the core itself, and what ends the program from outside
    pass as they are.

    Raises:
        DesignError: the design's ``look()`` raised something, or returned what is no decision.
    """
    try:
        yield
    except (_core.ReplayError, *STOPS):
        raise
    except BaseException as error:  # a user's code may raise anything
        if design.policy_class is None:
            raise
        if isinstance(error, _core.DecisionError):
            raise DesignError(f"design {design.label}: {error}") from error
        frames = traceback.extract_tb(error.__traceback__)
        where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
        raise DesignError(
            f"design {design.label}: look() raised {type(error).__name__}:"
            f" {shortened(str(error))}{where}"
            + ("; to do nothing, return None" if isinstance(error, SystemExit) else "")
        ) from error
