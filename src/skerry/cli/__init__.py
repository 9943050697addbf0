"""Command line: one door for people and scripts.

In      Words on a command line.
Does    Calls the same functions as the Python API and shows their typed results.
Out     Data on standard output (or one JSON object with --json), notes on standard error.
Never   Decides anything: no rule of Skerry lives here.
Start   reading at `app`.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; the exit code follows the branch of the error."""
    from skerry.cli.app import run_app

    run_app()
