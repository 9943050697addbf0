"""Write a trained model as people load models: safetensors, a card, and a Hugging Face folder.

What    `save_model(folder, ...)` writes model.safetensors and README.md, and config.json with the
        tokenizer files where the model came from Hugging Face.
Why     The result must be useful without Skerry.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from skerry.models.opening import ModelError, OpenedModel
from skerry.program import Layout

WEIGHTS_FILE = "model.safetensors"
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json",
    "merges.txt", "tokenizer.model", "generation_config.json",
)  # fmt: skip


def named_tensors(flat: Tensor, layout: Layout) -> dict[str, Tensor]:
    """Return the named tensors that lie in a flat f32 vector [P]."""
    return {
        slot.name: flat[slot.offset : slot.offset + slot.elements].reshape(slot.shape).clone()
        for slot in layout.slots
    }


def load_flat(path: Path, layout: Layout) -> Tensor:
    """Return the flat f32 vector [P] of a safetensors file.

    Raises:
        ModelError: the file is unreadable or does not hold these tensors.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"cannot read {path}: {error}", next_step="give the model folder of a finished run"
        ) from error
    flat = []
    for slot in layout.slots:
        tensor = tensors.get(slot.name)
        if tensor is None or tuple(tensor.shape) != slot.shape or tensor.dtype != torch.float32:
            raise ModelError(
                f"{path} holds no float32 {slot.name} of shape {slot.shape}",
                next_step="give the model folder of the same job",
            )
        flat.append(tensor.reshape(-1))
    return torch.cat(flat)


def save_model(
    folder: Path,
    opened: OpenedModel,
    layout: Layout,
    flat: Tensor,
    *,
    card: str,
    metadata: Mapping[str, str],
    tokenizer: Path | None = None,
) -> None:
    """Write the trained model; `folder` appears whole or not at all.

    Args:
        folder: the model folder; an older one is replaced.
        opened: what the job named.
        layout: where each parameter lies in `flat`.
        flat: f32[P].
        card: the text of README.md.
        metadata: strings kept in the safetensors header.
        tokenizer: a tokenizer.json to put beside the weights.
    """
    making = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    tensors = named_tensors(flat, layout)
    save_file(tensors, making / WEIGHTS_FILE, {"format": "pt", **metadata})
    (making / "README.md").write_text(card)
    if opened.hf_config is not None:
        _write_hf(making, opened)
    if tokenizer is not None:
        shutil.copyfile(tokenizer, making / "tokenizer.json")
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(making, folder)


def _write_hf(folder: Path, opened: OpenedModel) -> None:
    config: dict[str, Any] = opened.hf_config.to_dict()
    config["architectures"] = [type(opened.module).__name__]
    config["torch_dtype"] = "float32"
    (folder / "config.json").write_text(json.dumps(config, indent=2, default=str) + "\n")
    if opened.hf_folder is not None:
        for name in _TOKENIZER_FILES:
            if (opened.hf_folder / name).is_file():
                shutil.copyfile(opened.hf_folder / name, folder / name)
