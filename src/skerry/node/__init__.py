"""Node: processes, sockets and the real clock; where the pure rooms meet the machine.

In      A run's `RunConfig` and Programs, a prepared data folder, and a folder to run in.
Does    Spawns workers, hands out what `train.rounds` decides, keeps what comes back, resumes what
        was killed; replays units for `verify` and plays both sides of a dispute.
Out     A trained state with its checkpoints, receipts and log; frozen events while it runs.
Never   Decides a round, an op or a verdict itself; never does tensor work in the coordinator.
Start   reading at `life`, then `coordinator` and `worker`.
"""
