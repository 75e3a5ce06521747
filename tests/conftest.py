"""Fixtures of all tests of the engine."""

pytest_plugins = "pytester"
