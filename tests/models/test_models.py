"""A model opens from any of its sources and comes back as files that others load."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from skerry.job import ModelSection
from skerry.models import ModelError, load_flat, open_model, save_model
from skerry.program import Layout

LLAMA = {
    "model_type": "llama",
    "vocab_size": 32,
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "tie_word_embeddings": True,
}


def flatten(module: torch.nn.Module) -> tuple[Layout, torch.Tensor]:
    named = dict(module.named_parameters())
    layout = Layout.of({name: tuple(p.shape) for name, p in named.items()})
    return layout, torch.cat([p.detach().reshape(-1) for p in named.values()])


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_an_example_opens_with_weights_fixed_by_the_seed(name: str, tmp_path: Path) -> None:
    section = ModelSection(example=name)
    first = flatten(open_model(section, folder=tmp_path, seed=1).module)[1]
    again = flatten(open_model(section, folder=tmp_path, seed=1).module)[1]
    other = flatten(open_model(section, folder=tmp_path, seed=2).module)[1]
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_factory_beside_the_job_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "my_model_file.py").write_text(
        "from torch import nn\ndef make(n=2):\n    return nn.Linear(n, n)\nnot_it = 3\n"
    )
    section = ModelSection(factory="my_model_file:make", arguments={"n": 3})
    assert open_model(section, folder=tmp_path, seed=0).module.weight.shape == (3, 3)
    for reference, words in (
        ("my_model_file:other", "has no function"),
        ("my_model_file:not_it", "has no function"),
        ("no_such_module_here:make", "cannot import"),
    ):
        with pytest.raises(ModelError, match=words):
            open_model(ModelSection(factory=reference), folder=tmp_path, seed=0)
    with pytest.raises(ModelError, match=r"correct model\.arguments"):
        open_model(
            ModelSection(factory="my_model_file:make", arguments={"m": 1}), folder=tmp_path, seed=0
        )


def test_a_hugging_face_model_comes_back_as_a_folder_that_transformers_loads(
    tmp_path: Path,
) -> None:
    import transformers

    opened = open_model(ModelSection(hf_config=dict(LLAMA)), folder=tmp_path, seed=3)
    layout, flat = flatten(opened.module)
    save_model(tmp_path / "model", opened, layout, flat + 1, card="# card\n", metadata={"a": "b"})
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert torch.equal(flatten(loaded)[1], flat + 1)
    assert torch.equal(load_flat(tmp_path / "model" / "model.safetensors", layout), flat + 1)
    again = open_model(ModelSection(model_name_or_path="model"), folder=tmp_path, seed=0)
    assert again.weights_given
    assert torch.equal(flatten(again.module)[1], flat + 1)


def test_given_weights_must_be_those_of_the_model(tmp_path: Path) -> None:
    opened = open_model(ModelSection(example="mlp"), folder=tmp_path, seed=0)
    weights = {name: p.detach() * 2 for name, p in opened.module.named_parameters()}
    save_file(weights, tmp_path / "w.safetensors")
    section = ModelSection(example="mlp", weights="w.safetensors")
    doubled = open_model(section, folder=tmp_path, seed=1)
    assert torch.equal(flatten(doubled.module)[1], flatten(opened.module)[1] * 2)
    del weights["layers.0.bias"]
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match=r"has no layers\.0\.bias"):
        open_model(section, folder=tmp_path, seed=1)
    (tmp_path / "w.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ModelError, match=r"model\.weights"):
        open_model(section, folder=tmp_path, seed=1)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (ModelSection(example="resnet"), "there is no 'resnet'"),
        (ModelSection(hf_config={"vocab_size": 3}), "no model_type"),
        (ModelSection(hf_config="nowhere.json"), "cannot read"),
        (ModelSection(hf_config={"model_type": "no-such-kind"}), "hf_config"),
        (ModelSection(model_name_or_path="nowhere"), r"no config\.json"),
    ],
)
def test_what_cannot_be_opened_names_its_key(
    section: ModelSection, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=words):
        open_model(section, folder=tmp_path, seed=0)
