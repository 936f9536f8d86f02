"""Options that the tests share. That this file is here also puts ``oracle`` on the import path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from iova import Domain

# How long an example takes is the machine's affair: speed is measured elsewhere.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--seed",
        type=int,
        default=None,
        help="run the seeded random tests with this seed alone, and print their steps",
    )


@pytest.fixture
def chosen_seed(request: pytest.FixtureRequest) -> int | None:
    """The seed asked for with ``--seed``; None: every test uses its own."""
    seed: int | None = request.config.getoption("--seed")
    return seed


@pytest.fixture
def domain() -> Iterator[Domain]:
    """A live domain of the defaults, sound at the end."""
    with Domain() as opened:
        yield opened
        assert opened._check() is None
