"""Chores of this repository, run by people and by tests; never part of the package."""
