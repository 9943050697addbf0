"""Whole models, unmodified: loss, gradient, logits and sums agree with eager PyTorch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import pytest
import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from skerry.exact import compile_program
from skerry.models.examples import CNN, GPT, MLP
from skerry.program import I64, NARROW, TensorType, check, program_digest
from skerry.trace import trace_model
from tests.trace.checking import assert_agrees, assert_near, drawn, run, whole

TOKENS = {"tokens": whole(40, 2, 13)}
CLASSES = {"features": drawn(4, 1, 8, 8), "label": whole(10, 4)}


def seeded(build: object, **arguments: object) -> nn.Module:
    """Return a model whose initial weights are the same in every run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        assert callable(build)
        made = build(**arguments)
    assert isinstance(made, nn.Module)
    return made


def llama(attention: str, **more: object) -> nn.Module:
    config = transformers.LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
        attn_implementation=attention, bos_token_id=0, eos_token_id=1, **more,
    )  # fmt: skip
    return seeded(transformers.LlamaForCausalLM, config=config)


def gpt2(attention: str, dropout: float = 0.0) -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=40, n_positions=32, n_embd=16, n_layer=2, n_head=4, resid_pdrop=dropout,
        embd_pdrop=dropout, attn_pdrop=dropout, attn_implementation=attention,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    return seeded(transformers.GPT2LMHeadModel, config=config)


class HandWritten(nn.Module):
    """One head of attention with the mask that tutorials write."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(40, 12), nn.Linear(12, 40)
        self.query, self.key, self.value = (nn.Linear(12, 12) for _ in range(3))
        self.mask: Tensor
        self.register_buffer("mask", torch.tril(torch.ones(32, 32)))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        length = tokens.shape[1]
        scores = self.query(x) @ self.key(x).transpose(-2, -1) / 12**0.5
        scores = scores.masked_fill(self.mask[:length, :length] == 0, float("-inf"))
        logits: Tensor = self.head(functional.softmax(scores, dim=-1) @ self.value(x))
        return logits


def test_an_mlp_agrees() -> None:
    assert_agrees(seeded(MLP, inputs=64, hidden=(16, 12)), "classification", CLASSES)


def test_a_cnn_agrees() -> None:
    assert_agrees(seeded(CNN, channels=(8, 12)), "classification", CLASSES)


def test_a_gpt_agrees() -> None:
    assert_agrees(seeded(GPT, vocabulary=40, width=16, context=16), "causal-lm", TOKENS)


def test_hand_written_attention_agrees() -> None:
    assert_agrees(seeded(HandWritten), "causal-lm", TOKENS)


@pytest.mark.parametrize("attention", [pytest.param("eager", marks=pytest.mark.slow), "sdpa"])
def test_a_hugging_face_llama_agrees(attention: str) -> None:
    assert_agrees(llama(attention), "causal-lm", TOKENS)


def test_tied_embeddings_are_one_parameter() -> None:
    traced = assert_agrees(llama("sdpa", tie_word_embeddings=True), "causal-lm", TOKENS)
    names = [slot.name for slot in traced.layout.slots]
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names


@pytest.mark.parametrize("attention", [pytest.param("eager", marks=pytest.mark.slow), "sdpa"])
def test_a_hugging_face_gpt2_agrees(attention: str) -> None:
    assert_agrees(gpt2(attention), "causal-lm", TOKENS)


def test_a_loss_of_the_callers_own_gets_the_module_and_the_batch() -> None:
    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        assert model.config.vocab_size == 40  # type: ignore[union-attr]
        made = model(input_ids=batch["ids"], labels=batch["ids"], use_cache=False).loss
        assert isinstance(made, Tensor)
        return made

    traced = assert_agrees(llama("sdpa"), loss, {"ids": TOKENS["tokens"]})
    assert traced.predict is None
    made = run(traced.evaluate, {"params": traced.initial_params, "ids": TOKENS["tokens"]})
    assert int(made["count"]) == 1


def test_a_regression_agrees() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)))
    assert_agrees(model, "regression", {"features": drawn(8, 6), "label": drawn(8, seed=1)})


def test_pytorchs_own_transformer_layer_agrees() -> None:
    layer = nn.TransformerEncoderLayer(12, 3, 24, dropout=0.0, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(60, 10))
    assert_agrees(model, "classification", {"features": drawn(4, 5, 12), "label": whole(10, 4)})


def test_batch_norm_on_fixed_statistics_agrees() -> None:
    model = seeded(lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(),
                                         nn.Linear(144, 10)))  # fmt: skip
    model.get_submodule("1").eval()
    assert_agrees(model, "classification", CLASSES)


def test_frozen_parameters_are_given_and_get_no_gradient() -> None:
    model = seeded(MLP, inputs=64, hidden=(12,))
    next(model.parameters()).requires_grad_(False)
    traced = assert_agrees(model, "classification", CLASSES)
    assert [port.name for port in traced.grad.inputs if port.role == "given"] == list(traced.frozen)
    assert traced.layout.elements == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_prediction_may_read_fewer_rows() -> None:
    model = seeded(GPT, vocabulary=40, width=16, context=16)
    traced = trace_model(model, "causal-lm", TOKENS, predict_rows=1)
    assert traced.predict is not None
    one = {"params": traced.initial_params, "tokens": TOKENS["tokens"][:1, :-1]}
    model.eval()
    assert_near(run(traced.predict, one)["logits"], model(one["tokens"]).detach(), 1e-5)


def test_a_batch_may_be_given_by_its_types() -> None:
    model = seeded(GPT, vocabulary=40, width=16, context=16)
    by_type = trace_model(model, "causal-lm", {"tokens": TensorType(I64, (2, 13))})
    assert by_type.grad == trace_model(model, "causal-lm", TOKENS).grad


def test_tracing_leaves_the_model_as_it_was() -> None:
    model = seeded(CNN, channels=(8, 12), dropout=0.5)
    model.get_submodule("pool").eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace_model(model, "classification", CLASSES)
    assert model.training
    assert not model.get_submodule("pool").training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_profile_sets_the_width_of_products() -> None:
    traced = trace_model(MLP(64, (16,)), "classification", CLASSES, profile=NARROW)
    dots = [node for node in traced.grad.nodes if node.op == "dot"]
    widths = {traced.grad.nodes[read].integer("bits") for node in dots for read in node.inputs
              if traced.grad.nodes[read].op == "quantise"}  # fmt: skip
    assert widths == {12}


# -- chance


def test_dropout_draws_from_the_seed_alone() -> None:
    model = gpt2("sdpa", dropout=0.1)
    traced = trace_model(model, "causal-lm", TOKENS)
    given = {"params": traced.initial_params, **TOKENS}
    executable = compile_program(traced.grad, "torch")
    first, again, other = (
        executable.run({**given, "seed": torch.tensor(seed)}) for seed in (1, 1, 2)
    )
    assert torch.equal(first["grad"], again["grad"])
    assert not torch.equal(first["grad"], other["grad"])
    assert not any(node.op == "uniform" for node in traced.evaluate.nodes)


def test_a_dropout_mask_is_the_same_in_both_directions() -> None:
    """With loss = sum(dropout(w)), the gradient is the mask times its scale."""
    weight = nn.Parameter(drawn(4000).abs() + 1)
    model = nn.ParameterDict({"weight": weight})

    def loss(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        return functional.dropout(model["weight"], 0.25, model.training).sum()  # type: ignore[index]

    traced = trace_model(model, loss, {"unused": torch.zeros(1)})
    made = run(traced.grad, {"params": traced.initial_params, "unused": torch.zeros(1),
                             "seed": torch.tensor(5)})  # fmt: skip
    kept = made["grad"] != 0
    assert_near(made["loss"], (traced.initial_params * kept).sum() / 0.75, 1e-5)
    assert abs(float(kept.float().mean()) - 0.75) < 0.03


def test_every_dropout_has_a_stream_of_its_own() -> None:
    traced = trace_model(gpt2("eager", dropout=0.1), "causal-lm", TOKENS)
    streams = [node.integer("stream") for node in traced.grad.nodes if node.op == "uniform"]
    assert streams == list(range(7))  # one for the embedding, three a layer


# -- the Program is a value


def test_the_programs_pass_the_check_of_strangers() -> None:
    traced = trace_model(llama("sdpa"), "causal-lm", TOKENS)
    for program in (traced.grad, traced.evaluate, traced.predict):
        assert program is not None
        check(program)


@pytest.mark.slow
def test_another_process_traces_the_same_program() -> None:
    code = """
import torch
from skerry.models.examples import GPT
from skerry.program import program_digest
from skerry.trace import trace_model
batch = {"tokens": torch.zeros(2, 13, dtype=torch.int64)}
traced = trace_model(GPT(vocabulary=40, width=16, context=16, dropout=0.1), "causal-lm", batch)
print(program_digest(traced.grad).hex())
"""
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    model = GPT(vocabulary=40, width=16, context=16, dropout=0.1)
    here = trace_model(model, "causal-lm", {"tokens": TensorType(I64, (2, 13))})
    assert made.stdout.strip() == program_digest(here.grad).hex()
