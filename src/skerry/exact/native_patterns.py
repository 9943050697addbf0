"""What a native plan looks for in a Program before it lowers it.

What    Which nodes are needed and by whom; four nodes that are one sum of f32; products whose
        operands fit in int16; whether a quantise uses the exponent of its own operand.
Pure    One pass each over the nodes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from skerry.exact.torch_plan import unexpanded
from skerry.program.graph import Program

#: Operands of at most this many bits go to the int16 product.
_NARROW_BITS: Final = 12


class Patterns:
    """The answers, for one Program.

    Attributes:
        needed: the nodes that some output depends on and that are not folded away.
        uses: node -> the nodes that read it; -1 stands for an output.
        served: exponent -> the quantises of its own operand that use it.
        sums: exponent -> (quantise, sum, rescale) where the four are one sum of f32.
        narrow: the quantises, and the dots between them, that int16 holds.
    """

    def __init__(self, program: Program, folded: Collection[int]) -> None:
        self.program = program
        self._folded = folded
        self.needed = self._find_needed()
        self.uses = self._count_uses()
        self.served = self._find_served()
        self.sums = self._find_sums()
        self.narrow = self._find_narrow()

    def _find_needed(self) -> set[int]:
        needed = {output.node for output in self.program.outputs}
        for at in range(len(self.program.nodes) - 1, -1, -1):
            if at in needed and at not in self._folded:
                needed.update(self.program.nodes[at].inputs)
        return needed

    def _count_uses(self) -> dict[int, list[int]]:
        uses: dict[int, list[int]] = {at: [] for at in self.needed}
        for at in sorted(self.needed):
            if at not in self._folded:
                for read in self.program.nodes[at].inputs:
                    uses[read].append(at)
        for output in self.program.outputs:
            uses[output.node].append(-1)
        return uses

    def _source(self, at: int, through: tuple[str, ...] = ("reshape", "expand")) -> int:
        while self.program.nodes[at].op in through and at not in self._folded:
            at = self.program.nodes[at].inputs[0]
        return at

    def own_exponent(self, at: int) -> int | None:
        """Return the exponent node of a quantise if it is that of its own operand."""
        node = self.program.nodes[at]
        scale = unexpanded(self.program, node.inputs[1])
        known = self.program.nodes[scale]
        own = known.op == "exponent" and known.inputs[0] == node.inputs[0]
        return scale if own and scale not in self._folded else None

    def _find_served(self) -> dict[int, list[int]]:
        served: dict[int, list[int]] = {}
        for at in sorted(self.needed):
            if self.program.nodes[at].op == "quantise" and at not in self._folded:
                e = self.own_exponent(at)
                if e is not None:
                    served.setdefault(e, []).append(at)
        return served

    def _find_sums(self) -> dict[int, tuple[int, int, int]]:
        """Return exponent -> (quantise, sum, rescale) where the four are one sum of f32."""
        found: dict[int, tuple[int, int, int]] = {}
        for at in sorted(self.needed):
            node = self.program.nodes[at]
            if node.op != "rescale" or len(node.inputs) != 2 or at in self._folded:
                continue
            total, e = node.inputs[0], self._source(node.inputs[1])
            if self.program.nodes[total].op != "sum" or len(self.uses[total]) != 1:
                continue
            terms = self.program.nodes[total].inputs[0]
            quantise = self.program.nodes[terms]
            if quantise.op != "quantise" or len(self.uses[terms]) != 1:
                continue
            same = self.own_exponent(terms) == e and e not in found
            axes = self.program.nodes[total].integers("axes")
            if same and self.program.nodes[e].integers("axes") == axes:
                found[e] = (terms, total, at)
        return found

    def _find_narrow(self) -> set[int]:
        """Return the quantises, and the dots between them, that int16 holds."""
        nodes = self.program.nodes
        narrow = {
            at
            for at in self.needed
            if nodes[at].op == "quantise"
            and nodes[at].integer("bits") <= _NARROW_BITS
            and at not in self._folded
            and self.own_exponent(at) is not None
            and all(use >= 0 and nodes[use].op == "dot" for use in self.uses[at])
        }
        dots = [at for at in self.needed if nodes[at].op == "dot" and at not in self._folded]
        size = -1
        while len(narrow) != size:
            size = len(narrow)
            for at in dots:
                if not narrow.issuperset(nodes[at].inputs):
                    narrow.difference_update(nodes[at].inputs)
        return narrow | {at for at in dots if narrow.issuperset(nodes[at].inputs)}
