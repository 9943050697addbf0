"""The command `sample`."""

from __future__ import annotations

from pathlib import Path

from skerry.cli import console
from skerry.node.sampling import generate, open_trained, predictions


def sample_command(
    run: Path,
    prompt: str,
    tokens_max: int,
    temperature: float,
    seed: int,
    rows: int,
    *,
    as_json: bool,
) -> None:
    """Write text with a language model, or predict held-out rows with any other."""
    model = open_trained(run)
    if not model.is_text:
        found = predictions(model, rows)
        if as_json:
            console.show_json({"predictions": found})
            return
        names = model.data.manifest.class_names
        shown = [
            (
                str(it.row),
                names[int(it.label)] if names and it.right is not None else f"{it.label:g}",
                names[int(it.predicted)] if names and it.right is not None else f"{it.predicted:g}",
                {True: "right", False: "wrong", None: ""}[it.right],
            )
            for it in found
        ]
        console.show_table(("held-out row", "label", "predicted", ""), shown)
        return
    pieces = generate(model, prompt, tokens_max=tokens_max, temperature=temperature, seed=seed)
    if as_json:
        console.show_json({"prompt": prompt, "text": "".join(pieces)})
        return
    print(prompt.lstrip("\n"), end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()
