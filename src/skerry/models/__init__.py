"""Models: from what a job names to an nn.Module, and back to a folder people can load.

In      The [model] section of a job.
Does    Imports a factory, builds a shipped example or a Hugging Face model, loads given weights.
Out     An `OpenedModel`; trained weights as safetensors, in a Hugging Face folder if it was one.
Never   Runs on a node: only the submitter's machine knows the model's code.
Start   reading at `opening`.
"""

from skerry.models.examples import EXAMPLES
from skerry.models.opening import ModelError, OpenedModel, import_function, open_model
from skerry.models.saving import load_flat, named_tensors, save_model

__all__ = [
    "EXAMPLES",
    "ModelError",
    "OpenedModel",
    "import_function",
    "load_flat",
    "named_tensors",
    "open_model",
    "save_model",
]
