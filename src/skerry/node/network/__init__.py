"""Network: a job's run over nodes that share no files.

In      A signed `Assignment`, links to other nodes, and a folder of this node's own.
Does    Fetches what the job names, runs a worker behind a gateway, keeps a replica of the ledger,
        coordinates when it is this node's turn, and makes again what died with another node.
Out     The same bits as a local run; signed records of every round; the job's end.
Never   Changes a message between a worker and the coordinator, or computes on tensors.
Start   reading at `part`, then `gateway` and `replica`.
"""
