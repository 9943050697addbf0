"""Messages: everything that is signed or sent, and the one way to turn it into bytes.

In      Frozen structs from this house, or bytes from a stranger.
Does    Canonical encoding, strict decoding under limits, Ed25519 over tagged digests.
Out     Bytes that are equal for equal values; structs whose every field has been checked.
Never   Floats, IO, private keys in a struct; never acts on what a message says.
Start   reading at `wire`, then `receipts`.
"""
