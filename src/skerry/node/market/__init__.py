"""The market's side of a node: a wallet, a board, and an actor that makes the moves that are due.

Start reading at `actor`; `skerry.roles` decides, `skerry.chain` sends and reads.
"""
