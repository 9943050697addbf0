# pragma version 0.4.3
"""
@title  The court: disputes about receipts, each walked down to one element
@notice Challenger and solver move in turn, each on a clock of its own. All that the chain keeps of
        a game is the hash of its `State`; whoever moves supplies the state again, and every event
        carries the next one. docs/reference/court.md has the layout and the moves.
@dev    A move is possible at second t iff t <= deadline, and `timeout` iff t > deadline. The moves
        that every level takes are here; the others stand in walk_steps.vy and walk_values.vy, which
        hold no storage: `move` hands them the state and keeps what they return. A row that joins to
        what was claimed can be revealed by anyone, since there is only one such row; what nothing
        binds yet only by the solver or its deputy.
"""

from . import merkle
from . import nodes
from . import places
from . import rows

ROW: constant(uint256) = 64
PATH: constant(uint256) = 64
LEAF_BYTES: constant(uint256) = 4096
DOCKET_BYTES: constant(uint256) = 6144
MOVE_BYTES: constant(uint256) = 7168
VERDICT_BYTES: constant(uint256) = 12288
STATE_BYTES: constant(uint256) = 192
CORE_BYTES: constant(uint256) = 256
BOND_DOUBLINGS: constant(uint256) = 16
FALLEN: constant(uint256) = 2**255


# The judges' functions. Their calls are put together here, word by word.
ELEMENT: constant(bytes4) = method_id(
    "judge((bytes32,bytes32,uint256,uint256),bytes,(bytes,bytes32[])[])", output_type=bytes4
)
RUN: constant(bytes4) = method_id(
    "judge((bytes32,bytes32,uint256,uint256),bytes,uint256,uint256,(bytes,bytes32[])[])",
    output_type=bytes4,
)
STATE: constant(bytes4) = method_id(
    "state((bytes32,bytes32,uint256,uint256),bytes,bytes32,uint256,uint256,(bytes,bytes32[]))",
    output_type=bytes4,
)
GIVEN: constant(bytes4) = method_id(
    "given((bytes32,bytes32,uint256,uint256),bytes,bytes32,bytes,(bytes,bytes32[]))",
    output_type=bytes4,
)
CHANCE: constant(bytes4) = method_id(
    "chance((bytes32,bytes32,uint256,uint256),bytes,bytes32,uint256,bytes)", output_type=bytes4
)
DATA: constant(bytes4) = method_id(
    "data((bytes32,bytes32,uint256,uint256),bytes,bytes32,uint256,(uint256,uint256,bool,bytes32,uint256,uint256,bytes32),(uint256,uint256,uint256,bytes32[]),bytes,bytes,bytes32[])",
    output_type=bytes4,
)
CARRIED: constant(bytes4) = method_id(
    "carried((uint256,bytes32,uint256,bytes32,bytes32,bytes32),(bytes32,bytes32,bytes32,bytes32,uint256,uint256,uint256,uint256),bytes,bytes32,bytes32[])",
    output_type=bytes4,
)
COUNTED: constant(bytes4) = method_id(
    "counted((uint256,bytes32,uint256,bytes32,bytes32,bytes32),(bytes32,bytes32,bytes32,bytes32,uint256,uint256,uint256,uint256),(bytes,bytes32[],uint256))",
    output_type=bytes4,
)
LEFT_OUTPUT: constant(bytes4) = method_id(
    "left_output((uint256,bytes32,uint256,bytes32,bytes32,bytes32),(bytes32,bytes32,bytes32,bytes32,uint256,uint256,uint256,uint256),(bytes32,bytes32,bytes32),(bytes,bytes32[],uint256),(bytes,bytes32,uint256,bytes32,bytes32[]))",
    output_type=bytes4,
)
LEFT_STATE: constant(bytes4) = method_id(
    "left_state((uint256,bytes32,uint256,bytes32,bytes32,bytes32),(bytes32,bytes32,bytes32,bytes32,uint256,uint256,uint256,uint256),(bytes32,bytes32,bytes32),(bytes,bytes32[],uint256),(bytes,bytes32,uint256,bytes32,bytes32[])[])",
    output_type=bytes4,
)


# What a game begins with; `begin` of walk_steps.vy takes it first.
struct Terms:
    challenger: address
    solver: address
    docket: bytes32
    bond: uint256
    clock: uint256


# What a judge is shown: its call, without the parts that the court knows.
struct Verdict:
    before: bytes32  # root of the state before the step
    trace: bytes32  # root of the solver's trace of the step
    node: bytes32  # the node's leaf under its Program's digest
    values: uint256  # how many values the trace has
    rule: bytes4  # the judge's function
    node_at: bytes32  # where the node's bytes begin in the call
    data: Bytes[VERDICT_BYTES]  # the rest of it


struct Move:
    who: address
    unlock: uint256
    credit: uint256


interface Vault:
    def lock(who: address, amount: uint256): nonpayable
    def slash(who: address, amount: uint256, finder: address, other: address): nonpayable


event Announced:
    game: indexed(bytes32)
    challenger: indexed(address)


event Opened:
    game: indexed(bytes32)
    receipt: indexed(bytes32)
    challenger: address
    solver: address
    core: places.Core
    state: places.State


event Shown:
    game: indexed(bytes32)
    state: places.State
    data: Bytes[MOVE_BYTES]


event Picked:
    game: indexed(bytes32)
    state: places.State


event Ended:
    game: indexed(bytes32)
    receipt: indexed(bytes32)
    challenger_won: bool
    silent: bool


VAULT: public(immutable(Vault))
MARKET: public(immutable(address))
WALK_STEPS: public(immutable(address))
WALK_VALUES: public(immutable(address))
ADJUDICATOR: public(immutable(address))
FOLDS: public(immutable(address))
WIRING: public(immutable(address))
FEEDS: public(immutable(address))
VERDICTS: public(immutable(address))
BOND: public(immutable(uint256))
GRACE: public(immutable(uint256))
WIDTHS: public(immutable(uint256))

games: public(HashMap[bytes32, bytes32])  # when it was announced, then the hash of its state
contested: public(HashMap[bytes32, uint256])  # by receipt: open games; FALLEN once one was lost
deputies: public(HashMap[address, HashMap[address, bool]])


@deploy
def __init__(
    vault: Vault,
    market: address,
    walk_steps: address,
    walk_values: address,
    adjudicator: address,
    folds: address,
    wiring: address,
    feeds: address,
    verdicts: address,
    bond: uint256,
    grace: uint256,
    widths: uint256,
):
    """
    @param vault  Holds the bonds.
    @param market Says whose a receipt is, and hears how its disputes end.
    @param bond   Of the first game on a receipt: at least twice what the longest game costs.
    @param grace  Seconds of each move that are not taken from the mover's budget.
    @param widths log2 of the arity, 4 bits a level: steps, names, outputs, nodes, leaves, runs.
    """
    assert widths >> 24 == 0 and widths & 15 <= 8, "widths"
    for level: uint256 in range(6):
        assert widths >> (4 * level) & 15 > 0, "widths"
        assert level == 0 or widths >> (4 * level) & 15 <= 6, "widths"
    VAULT = vault
    MARKET = market
    WALK_STEPS = walk_steps
    WALK_VALUES = walk_values
    ADJUDICATOR = adjudicator
    FOLDS = folds
    WIRING = wiring
    FEEDS = feeds
    VERDICTS = verdicts
    BOND = bond
    GRACE = grace
    WIDTHS = widths


# ---- open ----------------------------------------------------------------------------------------


@external
def appoint(deputy: address, trusted: bool):
    """
    @notice Let another address move in the sender's place, or no longer.
    """
    self.deputies[msg.sender][deputy] = trusted


@external
def announce(game: bytes32):
    """
    @notice Announce an opening without saying what it doubts, so that nobody can copy it.
    @param game Hash of the challenger, the receipt, the doubt and a salt; the game's name.
    """
    assert self.games[game] == empty(bytes32), "game"
    self.games[game] = convert(block.timestamp, bytes32)
    log Announced(game=game, challenger=msg.sender)


@external
@nonreentrant
def open(who: address, docket: Bytes[DOCKET_BYTES], inside: bool, data: Bytes[MOVE_BYTES]):
    """
    @notice Open the game that was announced in an earlier second.
    @param who    The challenger.
    @param docket What the market needs to find the receipt and its solver.
    @param inside Whether the game begins inside a step whose roots the solver had published.
    @param data   A call of `begin` of walk_steps.vy, or of `begin_inside` of walk_values.vy.
    """
    self._require_for(who)
    made: Bytes[32 + STATE_BYTES + CORE_BYTES] = raw_call(
        WALK_VALUES if inside else WALK_STEPS,
        data,
        max_outsize=32 + STATE_BYTES + CORE_BYTES,
        is_static_call=True,
    )
    game: bytes32 = empty(bytes32)
    s: places.State = empty(places.State)
    core: places.Core = empty(places.Core)
    game, s, core = abi_decode(made, (bytes32, places.State, places.Core))
    announced: uint256 = convert(self.games[game], uint256)
    assert announced > 0 and announced < block.timestamp, "announce"
    count: uint256 = self.contested[core.receipt]
    assert count < FALLEN, "fallen"
    self.contested[core.receipt] = count + 1
    solver: address = empty(address)
    budget: uint256 = 0
    # by hand, since a typed call would send the docket filled up to its longest
    solver, budget = abi_decode(
        raw_call(
            MARKET,
            abi_encode(docket, core.receipt, method_id=method_id("admit(bytes,bytes32)")),
            max_outsize=64,
        ),
        (address, uint256),
    )
    assert budget < 2**32, "budget"
    deadline: uint256 = block.timestamp + GRACE + budget
    terms: Terms = Terms(
        challenger=who,
        solver=solver,
        docket=keccak256(docket),
        bond=BOND << min(count, BOND_DOUBLINGS),
        clock=budget << 160 | budget << 128 | GRACE << 96 | WIDTHS,
    )
    assert keccak256(slice(data, 4, 160)) == keccak256(abi_encode(terms)), "terms"
    s.clock |= deadline << 192
    self.games[game] = keccak256(abi_encode(s))
    extcall VAULT.lock(who, terms.bond)
    log Opened(
        game=game, receipt=core.receipt, challenger=who, solver=solver, core=core, state=s
    )


# ---- moves ---------------------------------------------------------------------------------------


@external
def reveal(game: bytes32, state: places.State, roots: DynArray[bytes32, ROW]):
    """
    @notice Show the row below a root of names, of an output's steps, of a trace or of a value. A
            row that does not join to what is claimed has lost: see `refute`.
    """
    self._require_due(game, state)
    s: places.State = state
    place: places.Place = places.due(s, False)
    assert places.is_held_later(place.kind), "kind"
    places.check_count(place, places.width(s.clock, place.kind), roots)
    data: Bytes[32 * ROW + 64] = slice(abi_encode(roots), 64, 32 * len(roots))
    s.held = keccak256(concat(s.held, keccak256(data)))
    place.flags |= places.SHOWN
    s = places.moved(s, place)
    self.games[game] = keccak256(abi_encode(s))
    log Shown(game=game, state=s, data=data)


@external
def show_leaf(game: bytes32, state: places.State, data: Bytes[LEAF_BYTES]):
    """
    @notice Show the bytes of a leaf.
    """
    self._require_due(game, state)
    s: places.State = state
    place: places.Place = places.due(s, False)
    assert place.kind == places.LEAF, "kind"
    kind: nodes.Type = places.unpacked_type(s.kept)
    count: uint256 = 0
    length: uint256 = 0
    count, length = merkle.leaf_shape(kind.shape, place.index)
    assert len(data) == length * places.item_bytes(kind.dtype), "length"
    bound: bytes32 = merkle.leaf_digest(data)
    if place.flags & places.SEALED != 0:
        bound = merkle.seal_tensor(kind.dtype, kind.shape, bound)
    assert bound == s.claimed, "leaf"
    s.claimed = rows.pieces_root(data)
    place.flags = (place.flags | places.SHOWN) & ~places.SEALED
    s = places.moved(s, place)
    self.games[game] = keccak256(abi_encode(s))
    log Shown(game=game, state=s, data=data)


@external
def pick(
    game: bytes32,
    state: places.State,
    who: address,
    solver: address,
    core: bytes32,
    choice: uint256,
    root: bytes32,
    path: DynArray[bytes32, PATH],
    held: bytes32,
    row: bytes32,
):
    """
    @notice Pick a root of the row that was shown, where more is to be shown below it.
    @param who  The challenger.
    @param core Hash of what stays fixed.
    @param path From the root that is picked to the one that the row joins to.
    @param held What is agreed, and `row` the hash of the row; zeros at a step.
    """
    self._require_for(who)
    self._require_due(game, state)
    assert state.seat == places.seat_hash(who, solver, core), "sender"
    s: places.State = state
    place: places.Place = places.due(s, True)
    s, place = places.picked(s, place, choice, root, path, held, row)
    if place.height == 0:
        if place.kind == places.LEAVES:
            place.kind = places.LEAF
        else:
            assert place.kind == places.OUTPUT_STEPS, "landing"
            place = places.doubted_output(place)
    s = places.moved(s, place)
    self.games[game] = keccak256(abi_encode(s))
    log Picked(game=game, state=s)


@external
@nonreentrant
def refute(
    game: bytes32,
    state: places.State,
    challenger: address,
    solver: address,
    core: places.Core,
    docket: Bytes[DOCKET_BYTES],
    held: bytes32,
    roots: DynArray[bytes32, ROW],
):
    """
    @notice End a game in which a row was shown that does not join to what was claimed. Anyone may.
    @param held  What is agreed.
    @param roots The row.
    """
    self._require_due(game, state)
    place: places.Place = places.due(state, True)
    assert places.is_held_later(place.kind), "kind"
    data: Bytes[32 * ROW + 64] = slice(abi_encode(roots), 64, 32 * len(roots))
    assert keccak256(concat(held, keccak256(data))) == state.held, "row"
    root: bytes32 = places.row_root(place, places.width(state.clock, place.kind), roots)
    assert places.sealed(state, place, root) != state.claimed, "roots"
    self._end(game, state, challenger, solver, core, docket, True, False)


@external
def move(game: bytes32, who: address, inside: bool, data: Bytes[MOVE_BYTES]):
    """
    @notice Make a move that another contract has the rules of.
    @param inside Whether it is a rule of walk_values.vy; else it is one of walk_steps.vy.
    @param data   The call: the state first, then the mover.
    """
    s: places.State = self._moved(game, who, inside, data)
    if places.unpacked(s.place).flags & places.SHOWN != 0:
        log Shown(game=game, state=s, data=data)
    else:
        log Picked(game=game, state=s)


@internal
def _moved(
    game: bytes32, who: address, inside: bool, data: Bytes[MOVE_BYTES]
) -> places.State:
    """
    @notice Ask the rules for the state after a move, and keep its hash.
    """
    self._require_for(who)
    assert self.games[game] == keccak256(slice(data, 4, STATE_BYTES)), "state"
    assert block.timestamp <= extract32(data, 4, output_type=uint256) >> 192, "late"
    assert extract32(data, 4 + STATE_BYTES, output_type=uint256) == convert(who, uint256), "who"
    made: Bytes[STATE_BYTES + 32] = raw_call(
        WALK_VALUES if inside else WALK_STEPS,
        data,
        max_outsize=STATE_BYTES + 32,
        is_static_call=True,
    )
    assert len(made) == STATE_BYTES, "move"
    self.games[game] = keccak256(made)
    return abi_decode(made, places.State)


# ---- the end -------------------------------------------------------------------------------------


@external
@nonreentrant
def judge(
    game: bytes32,
    state: places.State,
    challenger: address,
    solver: address,
    core: places.Core,
    docket: Bytes[DOCKET_BYTES],
    verdict: Verdict,
):
    """
    @notice Compute what stands at the end of the walk; who was wrong has lost. Anyone may, but for
            a step that was shown: that its values agree only the challenger can say.
    @param verdict What the judge is to be shown.
    """
    self._require_due(game, state)
    if places.unpacked(state.place).kind == places.STEP:
        # a step that was shown: whether it ends here is the challenger's choice
        self._require_for(challenger)
    right: bool = self._right(state, core, verdict)
    self._end(game, state, challenger, solver, core, docket, not right, False)


@external
@nonreentrant
def settle(
    game: bytes32,
    who: address,
    solver: address,
    core: places.Core,
    docket: Bytes[DOCKET_BYTES],
    last: Bytes[MOVE_BYTES],
    verdict: Verdict,
):
    """
    @notice A last pick, as in `move`, and `judge` in one.
    """
    s: places.State = self._moved(game, who, True, last)
    log Picked(game=game, state=s)
    right: bool = self._right(s, core, verdict)
    self._end(game, s, who, solver, core, docket, not right, False)


@internal
@view
def _right(s: places.State, core: places.Core, it: Verdict) -> bool:
    """
    @notice Whether the solver's claim at the end of the walk is right. What the court knows is put
            before, or among, the words that the caller gives of the judge's call.
    """
    place: places.Place = places.unpacked(s.place)
    judge: address = VERDICTS
    rule: bytes4 = it.rule
    known: Bytes[512] = b""  # what the court puts in before the rest of the call
    expected: uint256 = 1
    if place.kind == places.STEP or place.kind == places.CARRIED:
        if place.kind == places.STEP:
            assert rule == LEFT_STATE or rule == LEFT_OUTPUT or rule == COUNTED, "rule"
        else:
            assert rule == CARRIED, "rule"
        known = concat(abi_encode(s), abi_encode(core))
    else:
        assert place.kind == places.POINT, "kind"
        step: bytes32 = keccak256(concat(it.before, it.trace))
        assert keccak256(concat(step, it.node, convert(it.values, bytes32))) == s.held, "held"
        expected = convert(s.claimed, uint256) >> 64
        among: Bytes[64] = b""
        if place.flags & places.FOLD != 0:
            judge = FOLDS
            assert rule == RUN, "rule"
            among = abi_encode(expected, convert(s.kept, uint256) >> 128)
            expected = convert(s.claimed, uint256) & places.LANE
        elif rule == ELEMENT:
            judge = ADJUDICATOR
        elif rule == STATE:
            judge = WIRING
            among = abi_encode(it.before, core.names)
        elif rule == GIVEN:
            judge = FEEDS
            among = abi_encode(core.receipt)
        else:
            assert rule == CHANCE or rule == DATA, "rule"
            judge = FEEDS
            among = abi_encode(core.receipt, place.step)
        claim: Bytes[128] = abi_encode(it.node, it.trace, it.values, place.index)
        known = concat(claim, it.node_at, among)
    found: Bytes[32] = raw_call(
        judge, concat(rule, known, it.data), max_outsize=32, is_static_call=True
    )
    return abi_decode(found, uint256) == expected


@external
@nonreentrant
def timeout(
    game: bytes32,
    state: places.State,
    challenger: address,
    solver: address,
    core: places.Core,
    docket: Bytes[DOCKET_BYTES],
):
    """
    @notice End a game whose mover's clock ran out. Anyone may.
    """
    assert self.games[game] == keccak256(abi_encode(state)), "state"
    assert block.timestamp > state.clock >> 192, "early"
    silent: bool = places.challenger_moves(places.unpacked(state.place))
    self._end(game, state, challenger, solver, core, docket, not silent, True)


@external
@nonreentrant
def withdraw(
    game: bytes32,
    state: places.State,
    challenger: address,
    solver: address,
    core: places.Core,
    docket: Bytes[DOCKET_BYTES],
):
    """
    @notice Leave a game about a receipt that another game felled; the bond comes back. Anyone may.
    """
    assert self.games[game] == keccak256(abi_encode(state)), "state"
    assert self.contested[core.receipt] >= FALLEN, "stands"
    self._end(game, state, challenger, solver, core, docket, False, False)


@internal
def _end(
    game: bytes32,
    s: places.State,
    challenger: address,
    solver: address,
    core: places.Core,
    docket: Bytes[DOCKET_BYTES],
    challenger_won: bool,
    silent: bool,
):
    """
    @notice Close a game. The first that the solver loses fells the receipt; whoever doubted a
            fallen receipt gets his bond back, however his own game ended.
    """
    assert s.seat == places.seat_hash(challenger, solver, keccak256(abi_encode(core))), "seat"
    assert keccak256(docket) == core.docket, "docket"
    self.games[game] = empty(bytes32)
    count: uint256 = self.contested[core.receipt] - 1
    fallen: bool = count >= FALLEN
    if challenger_won and not fallen:
        self.contested[core.receipt] = count | FALLEN
        place: places.Place = places.unpacked(s.place)
        step: uint256 = place.step
        if place.kind == places.OUTPUT_STEPS:
            # the first step that is still in doubt
            step = min(place.index << place.height, core.steps - 1)
        segment: uint256 = ((step + 1) * core.segments - 1) // core.steps
        raw_call(
            MARKET,
            abi_encode(
                docket,
                core.receipt,
                segment,
                challenger,
                method_id=method_id("convict(bytes,bytes32,uint256,address)"),
            ),
        )
    else:
        self.contested[core.receipt] = count
        raw_call(
            MARKET,
            abi_encode(docket, core.receipt, method_id=method_id("dismiss(bytes,bytes32)")),
        )
    if challenger_won or fallen:
        moves: DynArray[Move, 1] = [Move(who=challenger, unlock=core.bond, credit=core.bond)]
        raw_call(
            VAULT.address,
            abi_encode(moves, method_id=method_id("settle((address,uint256,uint256)[])")),
        )
    else:
        extcall VAULT.slash(challenger, core.bond, solver, solver)
    log Ended(game=game, receipt=core.receipt, challenger_won=challenger_won, silent=silent)


# ---- who, and when -------------------------------------------------------------------------------


@internal
@view
def _require_for(who: address):
    """
    @notice Refuse a sender that may not move for `who`.
    """
    assert msg.sender == who or self.deputies[who][msg.sender], "sender"


@internal
@view
def _require_due(game: bytes32, s: places.State):
    """
    @notice Refuse a move in another state than the game's, or after its deadline.
    """
    assert self.games[game] == keccak256(abi_encode(s)), "state"
    assert block.timestamp <= s.clock >> 192, "late"
