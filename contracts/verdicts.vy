# pragma version 0.4.3
"""
@title  Verdicts: whether the solver is right where a walk has ended
@notice One function for each kind of end. Each takes the state and what stays fixed, which the
        court has checked, and says whether the claim is right; what does not fit them reverts.
@dev    Stateless.
"""

from . import merkle
from . import nodes
from . import openings
from . import places
from . import spelling

PATH: constant(uint256) = 64
NAME_BYTES: constant(uint256) = 1024
NODE_BYTES: constant(uint256) = 4096
RECEIPT_BYTES: constant(uint256) = 4096
SHARD_BYTES: constant(uint256) = 1024


interface Adjudicator:
    def judge(
        claim: openings.Claim, node: Bytes[NODE_BYTES], shown: DynArray[openings.Opened, 3]
    ) -> uint256: view


interface Folds:
    def judge(
        claim: openings.Claim,
        node: Bytes[NODE_BYTES],
        subject: uint256,
        run: uint256,
        shown: DynArray[openings.Opened, 3],
    ) -> uint256: pure


interface Wiring:
    def state(
        claim: openings.Claim,
        node: Bytes[NODE_BYTES],
        before: bytes32,
        count: uint256,
        index: uint256,
        shown: openings.Opened,
    ) -> uint256: pure


ADJUDICATOR: public(immutable(Adjudicator))
FOLDS: public(immutable(Folds))
WIRING: public(immutable(Wiring))


@deploy
def __init__(adjudicator: Adjudicator, folds: Folds, wiring: Wiring):
    """
    @param adjudicator Computes an element.
    @param folds       Computes a run of a reduction.
    @param wiring      Computes an element that a step was given.
    """
    ADJUDICATOR = adjudicator
    FOLDS = folds
    WIRING = wiring


@external
@view
def element(
    state: places.State,
    core: places.Core,
    held: places.Held,
    shown: DynArray[openings.Opened, 3],
) -> bool:
    """
    @notice An element of any op that is neither a reduction nor an input.
    """
    claim: openings.Claim = self._claim(state, held, False)
    return staticcall ADJUDICATOR.judge(claim, held.node, shown) == self._bits(state)


@external
@view
def run(
    state: places.State,
    core: places.Core,
    held: places.Held,
    shown: DynArray[openings.Opened, 3],
) -> bool:
    """
    @notice One run of a reduction.
    """
    claim: openings.Claim = self._claim(state, held, True)
    number: uint256 = convert(state.kept, uint256) >> 128
    fold: uint256 = staticcall FOLDS.judge(claim, held.node, self._bits(state), number, shown)
    return fold == convert(state.claimed, uint256) & places.LANE


@external
@view
def state_input(
    state: places.State,
    core: places.Core,
    held: places.Held,
    index: uint256,
    shown: openings.Opened,
) -> bool:
    """
    @notice An element of an input that is an entry of the state before the step.
    """
    claim: openings.Claim = self._claim(state, held, False)
    return self._bits(state) == staticcall WIRING.state(
        claim, held.node, held.before, core.names, index, shown
    )


@external
@view
def carried(
    state: places.State,
    core: places.Core,
    name: Bytes[NAME_BYTES],
    tensor: bytes32,
    path: DynArray[bytes32, PATH],
) -> bool:
    """
    @notice An entry that the Program never touches: it must be the one before the step.
    """
    place: places.Place = places.unpacked(state.place)
    assert place.kind == places.CARRIED, "kind"
    if core.names == 0:
        # a state without entries has one root
        return state.claimed == merkle.seal_state(0, empty(bytes32))
    assert keccak256(name) == state.kept, "name"
    leaf: bytes32 = merkle.state_leaf(tensor, name)
    levels: uint256 = merkle.depth(core.names)
    assert len(path) == levels, "path"
    root: bytes32 = merkle.climb(leaf, place.index, path, 0, levels)
    assert merkle.seal_state(core.names, root) == state.held, "state"
    if place.flags & places.SEALED != 0:
        leaf = merkle.seal_state(1, leaf)
    return leaf == state.claimed


@internal
@pure
def _bits(state: places.State) -> uint256:
    """
    @notice The claimed bits of the element.
    """
    return convert(state.claimed, uint256) >> 64


@internal
@pure
def _claim(state: places.State, held: places.Held, fold: bool) -> openings.Claim:
    """
    @notice What the walk ended at, as the adjudicator takes it.
    """
    place: places.Place = places.unpacked(state.place)
    assert place.kind == places.POINT, "kind"
    assert (place.flags & places.FOLD != 0) == fold, "rule"
    return places.claim(state, place, held)
