"""Job: what a submitter asks for, read from a TOML file.

In      The text of a job file and `key=value` changes.
Does    Parses, fills defaults, checks every key and range, and names the key that is wrong.
Out     A frozen `Job`; the [data] section stays a table that the dataset room checks.
Never   Opens a file, imports a model or touches a tensor.
Start   reading at `schema`.
"""

from skerry.job.parse import JobFileError, parse_job
from skerry.job.schema import (
    CheckpointSection,
    Job,
    MarketSection,
    ModelSection,
    ResourcesSection,
    RoundsSection,
    TrainSection,
)

__all__ = [
    "CheckpointSection",
    "Job",
    "JobFileError",
    "MarketSection",
    "ModelSection",
    "ResourcesSection",
    "RoundsSection",
    "TrainSection",
    "parse_job",
]
