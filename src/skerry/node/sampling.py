"""Use a trained model: go on from a text, or predict held-out rows.

What    `generate(run, prompt, ...)` yields pieces of text; `predictions(run, rows)` predicts rows.
Why     A run is only believed when its model is seen to work.
Rule    Text is drawn from exact logits by counted chance: one seed, one text, on every machine.
        The Program reads a fixed length, so the text before a token is cut to its last part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from skerry.base.chance import Chance
from skerry.base.errors import JobError
from skerry.dataset import Dataset
from skerry.exact import Executable, compile_program
from skerry.node.submission import JobFile, kept_job, load_params
from skerry.program import check, from_bytes
from skerry.storage import RunFolder, read_file

_DRAW_BITS = 53


class CannotSample(JobError):
    """A run has nothing to sample from."""

    code = "job.sample"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A run's last state, ready to predict.

    Attributes:
        file: the job.
        predict: Program "predict", made ready.
        params: f32[P].
        data: the prepared data.
    """

    file: JobFile
    predict: Executable
    params: Tensor
    data: Dataset

    @property
    def is_text(self) -> bool:
        """Whether the model goes on from a text."""
        return self.data.manifest.kind == "text"

    def logits(self, field: str, values: Tensor) -> Tensor:
        """Return the logits for one row of inputs."""
        return self.predict.run({"params": self.params, field: values})["logits"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """One predicted held-out row."""

    row: int
    label: float
    predicted: float
    right: bool | None


def open_trained(run: Path) -> TrainedModel:
    """Return the model of a run at its last checkpoint.

    Raises:
        NoSuchRun, CannotSample: there is no run, no checkpoint, or no Program to predict with.
    """
    file = kept_job(run)
    folder = RunFolder(run)
    last = folder.last_checkpoint()
    program = run / "programs" / "predict.skp"
    if last is None or not program.is_file():
        missing = "checkpoint" if last is None else "Program to predict with"
        raise CannotSample(
            f"{run} has no {missing} yet", next_step=f"skerry run {run / 'job.toml'}"
        )
    predict = from_bytes(read_file(program))
    check(predict)
    return TrainedModel(
        file,
        compile_program(predict, "fast" if file.job.train.arithmetic == "fast" else "native"),
        load_params(folder.blobs.path(last.state)),
        Dataset.open(file.data_folder),
    )


def generate(
    model: TrainedModel, prompt: str, *, tokens_max: int, temperature: float, seed: int
) -> Iterator[str]:
    """Yield the text that follows `prompt`, piece by piece.

    Args:
        model: a trained language model.
        prompt: the text to go on from.
        tokens_max: stop after so many tokens, or earlier at the end of a document.
        temperature: 0 takes the likeliest token; 1 draws as the model says.
        seed: names every draw.
    """
    if not model.is_text:
        raise CannotSample("the model was not trained on text", next_step="leave out --prompt")
    tokenizer = model.data.tokenizer()
    length = model.predict.program.port("tokens").type.shape[1]
    tokens = [tokenizer.eos_id, *tokenizer.encode(prompt)]
    start, shown = len(tokens), ""
    for turn in range(tokens_max):
        window = tokens[-length:]
        padded = torch.tensor([window + [0] * (length - len(window))])
        scores = model.logits("tokens", padded)[0, len(window) - 1]
        token = draw(scores.tolist(), temperature, Chance.from_int(seed).fork("sample", turn))
        if token == tokenizer.eos_id:
            return
        tokens.append(token)
        text = tokenizer.decode(tokens[start:])
        if not text.endswith("\ufffd"):  # a character may take several tokens
            yield text[len(shown) :]
            shown = text


def sample_text(
    run: str | Path,
    prompt: str = "\n",
    *,
    tokens_max: int = 100,
    temperature: float = 0.8,
    seed: int = 0,
) -> Iterator[str]:
    """Yield the text that the model of a run goes on with after `prompt`; see `generate`."""
    model = open_trained(Path(run))
    return generate(model, prompt, tokens_max=tokens_max, temperature=temperature, seed=seed)


def draw(scores: list[float], temperature: float, chance: Chance) -> int:
    """Return an index drawn with probability softmax(scores / temperature)."""
    best = max(range(len(scores)), key=lambda at: (scores[at], -at))
    if temperature == 0:
        return best
    weights = [math.exp((score - scores[best]) / temperature) for score in scores]
    left = chance.below(1 << _DRAW_BITS) / (1 << _DRAW_BITS) * sum(weights)
    for at, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return at
    return best


def predictions(model: TrainedModel, rows: int) -> list[Prediction]:
    """Return predictions for the first held-out rows."""
    reader = model.data.heldout
    kind = model.predict.program.port("features").type
    found = []
    for row in range(min(rows, len(reader))):
        fields = reader.batch([row])
        features = torch.from_numpy(fields["features"]).reshape(kind.shape)
        logits, label = model.logits("features", features), fields["label"].reshape(-1)[0]
        if model.file.job.train.task == "classification":
            index = int(logits[0].argmax())
            found.append(Prediction(row, float(label), float(index), index == int(label)))
        else:
            found.append(Prediction(row, float(label), float(logits.reshape(-1)[0]), None))
    return found
