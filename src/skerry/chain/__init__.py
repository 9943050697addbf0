"""Chain: the contracts from a node's side, on a chain of its own or on anyone's.

In      Moves of the rules, a key, and a node to talk to.
Does    Encodes, signs, sends once and only once, waits, reads what happened; starts a local chain.
Out     Receipts, events in order, and errors that say what to do.
Never   Decides a move; holds a key in plain text on a disk; trusts a node about its identity.
Start   reading at `abi` and `moves`, then `outbox`.
"""
