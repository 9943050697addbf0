"""Write the reference pages that can be read off the code.

What    `PAGES` names each page under docs/reference and the function that writes its text.
Why     A page written by hand is wrong a month later. A house test compares each page with what
        this script would write, so a change of the code that forgets its page fails.
Run     python -m scripts.reference
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable

import skerry
from scripts.job_page import job_page
from scripts.messages_page import messages_page
from scripts.ops_page import ops_page
from scripts.tree import ROOT
from skerry.base.errors import SkerryError

FOLDER = ROOT / "docs" / "reference"
GENERATED = "<!-- Written by `make reference`; do not edit. -->\n"


def all_errors() -> list[type[SkerryError]]:
    """Return every error class of the package, each after the one it specialises."""
    for module in pkgutil.walk_packages(skerry.__path__, "skerry."):
        if module.name.rpartition(".")[2] not in ("__main__", "_native"):
            importlib.import_module(module.name)

    def below(parent: type[SkerryError]) -> list[type[SkerryError]]:
        children = sorted(parent.__subclasses__(), key=lambda child: child.code)
        return [parent, *(one for child in children for one in below(child))]

    return [one for one in below(SkerryError) if one.__module__.startswith("skerry.")]


def errors_page() -> str:
    """Return the page of error codes: what happened, whose move is next, and the exit code."""
    lines = [
        GENERATED,
        "# Errors",
        "",
        "Every error has a code that does not change, a sentence that says what and why, and where",
        "there is one the next command. The exit code of the command line follows the branch.",
        "",
        "| code | exit | error | special case of | meaning |",
        "|---|---|---|---|---|",
    ]
    for error in all_errors():
        parent = error.__bases__[0].__name__ if error is not SkerryError else ""
        meaning = " ".join(inspect.cleandoc(error.__doc__ or "").partition("\n\n")[0].split())
        lines.append(
            f"| `{error.code}` | {error.exit_code} | `{error.__name__}` | {parent} "
            f"| {meaning.replace('|', '&#124;')} |"
        )
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "errors.md": errors_page,
    "job.md": lambda: job_page(GENERATED),
    "messages.md": messages_page,
    "ops.md": lambda: ops_page(GENERATED),
}


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
        sys.stdout.write(f"wrote docs/reference/{name}\n")


if __name__ == "__main__":
    main()
