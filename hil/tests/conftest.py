"""The house rules of tests/ hold here too: virtual clock, no task left behind, no tool passed over in CI."""

from tests.conftest import pytest_pyfunc_call, pytest_runtest_setup

__all__ = ["pytest_pyfunc_call", "pytest_runtest_setup"]
