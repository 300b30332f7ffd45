"""Options of the whole test suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kind-cluster", metavar="NAME", help="use this running kind cluster and do not delete it")
