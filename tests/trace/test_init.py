"""Initial weights by a Program: the distributions that the model's code asks for."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import transformers
from torch import Tensor, nn

from skerry.models.examples import CNN, GPT, MLP
from skerry.program import Layout
from skerry.trace import trace_init, trace_model
from tests.trace.checking import run, whole


def initial(build: Callable[[], nn.Module], seed: int = 1) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a model that PyTorch initialised, and the parameters that the Program draws."""
    model = build()
    layout = Layout.of({name: tuple(p.shape) for name, p in model.named_parameters()})
    program = trace_init(build, layout)
    assert program is not None
    flat = run(program, {"seed": torch.tensor(seed)})["params"]
    return model, {
        slot.name: flat[slot.offset : slot.offset + slot.elements].reshape(slot.shape)
        for slot in layout.slots
    }


def assert_alike(model: nn.Module, drawn: dict[str, Tensor]) -> None:
    """Compare mean, spread and range of each parameter of some size with PyTorch's own."""
    for name, parameter in model.named_parameters():
        wanted = parameter.detach()
        made, count = drawn[name], wanted.numel()
        if wanted.std() == 0 or count == 1:
            assert torch.equal(made, wanted), name
        elif count > 500:
            noise = 6 * float(wanted.std()) / math.sqrt(count)
            assert abs(float(made.mean() - wanted.mean())) < noise, name
            assert abs(float(made.std() / wanted.std()) - 1) < 6 / math.sqrt(count), name
            assert float(made.abs().max() / wanted.abs().max()) < 1.5, name


EXAMPLES: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: MLP(64, (64, 32), 10),
    "cnn": lambda: CNN(channels=(16, 32)),
    "gpt": lambda: GPT(vocabulary=64, width=32, context=16),
    "lstm": lambda: nn.LSTM(32, 32),
    "attention": lambda: nn.MultiheadAttention(32, 4),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_models_own_initialiser_is_drawn_alike(name: str) -> None:
    assert_alike(*initial(EXAMPLES[name]))


def test_hugging_face_initialisers_are_drawn_alike() -> None:
    llama = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, pad_token_id=3, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    assert_alike(*initial(lambda: transformers.LlamaForCausalLM(llama)))
    gpt2 = transformers.GPT2Config(
        vocab_size=64, n_positions=32, n_embd=32, n_layer=2, n_head=4,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    assert_alike(*initial(lambda: transformers.GPT2LMHeadModel(gpt2)))


class Initialised(nn.Module):
    """Every initialiser that has a distribution."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.empty(40, 50) for _ in range(8))
        uniform, normal, clipped, xavier, kaiming, data, row, eye = self.weights
        nn.init.uniform_(uniform, -2, 5)
        nn.init.normal_(normal, 3, 0.5)
        nn.init.trunc_normal_(clipped, std=1.0, a=-1.0, b=1.0)
        nn.init.xavier_normal_(xavier)
        nn.init.kaiming_uniform_(kaiming, a=math.sqrt(5))
        data.data.normal_(0, 0.1)
        nn.init.normal_(row)
        with torch.no_grad():
            row[7].fill_(0)
            row[:, 3].zero_()
        nn.init.eye_(eye)


def test_every_initialiser_of_pytorch_is_drawn_alike() -> None:
    model, made = initial(Initialised)
    assert_alike(model, made)
    assert float(made["weights.2"].abs().max()) <= 1
    assert not bool(made["weights.6"][7].any())
    assert not bool(made["weights.6"][:, 3].any())
    assert torch.equal(made["weights.7"], torch.eye(40, 50))


def test_the_seed_alone_decides() -> None:
    _, first = initial(EXAMPLES["mlp"], seed=1)
    _, again = initial(EXAMPLES["mlp"], seed=1)
    _, other = initial(EXAMPLES["mlp"], seed=2)
    name = "layers.0.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    assert not torch.equal(first["layers.0.weight"][:32, :], first["layers.1.weight"])


def test_weights_without_a_distribution_stay_given() -> None:
    class Orthogonal(nn.Linear):
        def reset_parameters(self) -> None:
            nn.init.orthogonal_(self.weight)
            nn.init.zeros_(self.bias)

    batch = {"features": torch.zeros(4, 8), "label": whole(8, 4)}
    traced = trace_model(Orthogonal(8, 8), "classification", batch, build=lambda: Orthogonal(8, 8))
    assert traced.init is None
    traced = trace_model(MLP(8, (8,), 8), "classification", batch, build=lambda: MLP(8, (8,), 8))
    assert traced.init is not None
    assert traced.init.output_type("params") == traced.grad.output_type("grad")
