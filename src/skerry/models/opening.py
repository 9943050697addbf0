"""Open the model that a job names.

What    `open_model(section, folder)` returns the module, ready to trace, and where it came from.
Why     One door for the three ways people name a model: a function of theirs, a Hugging Face
        config or folder, an example of ours. Every refusal names the key to change.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from skerry.base.errors import JobError
from skerry.job import ModelSection
from skerry.models.examples import EXAMPLES


class ModelError(JobError):
    """A model cannot be opened, or its weights do not fit it."""

    code = "job.model"


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A module and where it came from.

    Attributes:
        module: in training mode, with its initial weights.
        source: what the job named, for the model card.
        weights_given: whether the weights came with the model rather than from its initialiser.
        hf_config: the Hugging Face config, when it has one.
        hf_folder: the folder it came from, for its tokenizer files.
    """

    module: nn.Module
    source: str
    weights_given: bool
    hf_config: Any = None
    hf_folder: Path | None = None


def import_function(reference: str, folder: Path) -> Callable[..., Any]:
    """Return the function that "module:function" names, looked up from `folder` too.

    Raises:
        ModelError: no such module or function.
    """
    module_name, _, name = reference.partition(":")
    place = str(folder.resolve())
    if place not in sys.path:
        sys.path.insert(0, place)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ModelError(
            f"{reference}: cannot import {module_name}: {error}",
            next_step=f"put {module_name}.py beside the job file, or install its package",
        ) from error
    function: Any = module
    for part in name.split("."):
        function = getattr(function, part, None)
    if not callable(function):
        raise ModelError(
            f"{reference}: {module_name} has no function {name}",
            next_step=f"define {name} in {module.__file__}",
        )
    return function  # type: ignore[no-any-return]


def open_model(section: ModelSection, *, folder: Path, seed: int) -> OpenedModel:
    """Return the model of a job.

    Args:
        section: the [model] table.
        folder: the folder of the job file, from which its paths count.
        seed: fixes the weights that an initialiser draws.

    Raises:
        ModelError: with the key to change.
    """
    with torch.random.fork_rng(devices=[]):
        # PyTorch's own initialisers draw from the global generator: the one place that sets it.
        torch.manual_seed(seed & ((1 << 63) - 1))  # noqa: TID251
        opened = _open(section, folder)
    if section.weights:
        _load_weights(opened.module, folder / section.weights)
        opened = OpenedModel(opened.module, opened.source, True, opened.hf_config, opened.hf_folder)
    _check_parameters(opened.module)
    opened.module.train()
    return opened


def _open(section: ModelSection, folder: Path) -> OpenedModel:
    if section.example:
        factory = EXAMPLES.get(section.example)
        if factory is None:
            raise ModelError(
                f"model.example: there is no {section.example!r}",
                next_step=f"choose one of {', '.join(EXAMPLES)}",
            )
        return OpenedModel(_call(factory, section, "example"), f"example:{section.example}", False)
    if section.factory:
        factory = import_function(section.factory, folder)
        return OpenedModel(_call(factory, section, "factory"), section.factory, False)
    if section.model_name_or_path:
        return _open_hf_folder(section.model_name_or_path, folder)
    return _open_hf_config(section.hf_config, folder)


def _call(factory: Callable[..., Any], section: ModelSection, key: str) -> nn.Module:
    try:
        module = factory(**section.arguments)
    except Exception as error:
        raise ModelError(
            f"model.{key}: {factory.__name__} failed: {type(error).__name__}: {error}",
            next_step="correct model.arguments",
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"model.{key}: {factory.__name__} returned {type(module).__name__}",
            next_step="return a torch.nn.Module",
        )
    return module


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ModelError(
            "Hugging Face models need the package transformers",
            next_step="pip install 'skerry[hf]'",
        ) from error


def _open_hf_config(given: str | dict[str, Any], folder: Path) -> OpenedModel:
    transformers = _transformers()
    table = dict(given) if isinstance(given, dict) else _read_config(folder / given)
    kind = table.pop("model_type", None)
    if not isinstance(kind, str):
        raise ModelError("model.hf_config has no model_type", next_step='add model_type = "llama"')
    try:
        config = transformers.AutoConfig.for_model(kind, **table)
        module = transformers.AutoModelForCausalLM.from_config(config)
    except Exception as error:
        raise ModelError(
            f"model.hf_config: {error}",
            next_step="correct the config; see transformers' page of it",
        ) from error
    return OpenedModel(module, f"hf_config:{kind}", False, module.config)


def _read_config(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model.hf_config: cannot read {path}: {error}", next_step="name a config.json"
        ) from error
    if not isinstance(table, dict):
        raise ModelError(f"model.hf_config: {path} is no table", next_step="name a config.json")
    return table


def _open_hf_folder(name: str, folder: Path) -> OpenedModel:
    transformers = _transformers()
    path = folder / name
    if not (path / "config.json").is_file():
        raise ModelError(
            f"model.model_name_or_path: {path} has no config.json",
            next_step="give a folder that was saved with save_pretrained",
        )
    try:
        module = transformers.AutoModelForCausalLM.from_pretrained(
            path, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except Exception as error:
        raise ModelError(
            f"model.model_name_or_path: {path}: {error}",
            next_step="give a folder with config.json and model.safetensors",
        ) from error
    return OpenedModel(module, f"hf_folder:{name}", True, module.config, path)


def _load_weights(module: nn.Module, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        module.load_state_dict(tensors, strict=False)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"model.weights: {path}: {error}", next_step="give a safetensors file of this model"
        ) from error
    missing = [name for name, _ in module.named_parameters() if name not in tensors]
    if missing:
        raise ModelError(
            f"model.weights: {path} has no {missing[0]} (and {len(missing) - 1} more)",
            next_step="give a safetensors file of this model",
        )


def _check_parameters(module: nn.Module) -> None:
    trainable = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    if not trainable:
        raise ModelError("the model has no trainable parameter", next_step="give one to train")
    for name, parameter in trainable:
        if parameter.dtype != torch.float32:
            raise ModelError(
                f"parameter {name} is {parameter.dtype}; Programs train float32",
                next_step="call .float() in the factory",
            )
