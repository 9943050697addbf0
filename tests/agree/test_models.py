"""A whole training step of each kind of model is equal, element for element, everywhere.

Tiny sizes: the reference computes every value of forward, backward and optimizer in plain Python.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from skerry.exact import compile_program
from skerry.models.examples import CNN, GPT, MLP
from skerry.program import I64, TensorType
from skerry.program.graph import F32
from skerry.trace import trace_model
from skerry.train import Optimizer, state_types, step_program
from tests.agree.test_programs import bits, executables

VOCABULARY, LENGTH, ROWS, SHARDS = 11, 4, 2, 2
ADAMW = Optimizer(
    kind="adamw", learning_rate=1e-2, weight_decay=0.1, max_grad_norm=1.0, schedule="cosine",
    warmup_steps=2, max_steps=10,
)  # fmt: skip
SGD = Optimizer(kind="sgd", learning_rate=1e-2, momentum=0.9)


def llama() -> nn.Module:
    model: nn.Module = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=8, intermediate_size=12, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=8,
            tie_word_embeddings=True,
        )
    )  # fmt: skip
    return model


def gpt2() -> nn.Module:
    model: nn.Module = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=VOCABULARY, n_embd=8, n_layer=1, n_head=2, n_positions=8, n_inner=16,
            bos_token_id=0, eos_token_id=0,
        )
    )  # fmt: skip
    return model


TOKENS = {"tokens": TensorType(I64, (ROWS, LENGTH + 1))}


def pictures(*shape: int) -> dict[str, TensorType]:
    return {"features": TensorType(F32, (ROWS, *shape)), "label": TensorType(I64, (ROWS,))}


MODELS: dict[str, tuple[Callable[[], nn.Module], str, dict[str, TensorType], Optimizer]] = {
    "mlp": (lambda: MLP(6, (5,), 3), "classification", pictures(6), SGD),
    "cnn": (
        lambda: CNN((1, 4, 4), (4, 4), 3, dropout=0.1), "classification", pictures(1, 4, 4), SGD,
    ),
    "gpt": (
        lambda: GPT(VOCABULARY, width=8, layers=1, heads=2, context=LENGTH, dropout=0.1),
        "causal-lm", TOKENS, ADAMW,
    ),
    "llama": (llama, "causal-lm", TOKENS, ADAMW),
    "gpt2": (gpt2, "causal-lm", TOKENS, ADAMW),
}  # fmt: skip


def batch_of(kind: TensorType, generator: torch.Generator) -> Tensor:
    shape = (SHARDS, *kind.shape)
    if kind.dtype == I64:
        return torch.randint(0, 3, shape, generator=generator)
    return torch.randn(shape, generator=generator)


@pytest.mark.parametrize("name", MODELS)
def test_a_training_step_has_one_value_at_every_node(name: str) -> None:
    factory, task, batch, optimizer = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        traced = trace_model(factory(), task, batch)
    program = step_program(traced.grad, optimizer, SHARDS)
    generator = torch.Generator().manual_seed(4)
    inputs = {
        label: torch.zeros(kind.shape, dtype=torch.float32 if kind.dtype == F32 else torch.int64)
        for label, kind in state_types(optimizer, traced.layout.elements).items()
    }
    inputs |= {"params": traced.initial_params, "seeds": torch.tensor([5, -6]), **traced.frozen}
    inputs |= {label: batch_of(kind, generator) for label, kind in batch.items()}
    nodes = range(len(program.nodes))
    want = compile_program(program, "reference").values(inputs, nodes)
    for backend, executable in executables(program).items():
        got = executable.values(inputs, nodes)
        wrong = [at for at in nodes if not torch.equal(bits(got[at]), bits(want[at]))]
        assert wrong == [], f"{backend} differs first at %{wrong[0]} {program.nodes[wrong[0]].op}"
        for label, result in executable.run(inputs).items():
            at = next(output.node for output in program.outputs if output.name == label)
            assert torch.equal(bits(result), bits(want[at])), f"a run of {backend}: {label}"
