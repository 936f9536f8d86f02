"""Options that the tests share. That this file is here also puts ``oracle`` on the import path."""

from __future__ import annotations

import pytest


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
