"""Plan: what a job would do on these machines, before anything runs.

In      The counted costs of a job's Programs, its shape, and what the machine can do.
Does    Shares lanes out to workers, counts memory, bytes and time, or says why not.
Out     A `Plan`, or a `NoPlan` with the reason and the change that would help.
Never   Measures anything itself: rates are arguments.
Start   reading at `local`.
"""

from skerry.plan.local import JobShape, Machine, NoPlan, Plan, plan_local, ring_bytes

__all__ = ["JobShape", "Machine", "NoPlan", "Plan", "plan_local", "ring_bytes"]
