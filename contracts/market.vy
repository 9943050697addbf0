# pragma version 0.4.3
"""
@title  Jobs: award, epochs, audits, settlement
@notice One transaction of the submitter awards a job to everyone whose signed offer it carries. Then
        the coordinator commits epochs of rounds, auditors replay what chance draws, and whoever
        likes settles. The court, fixed when this is deployed, opens and ends disputes. There is no
        owner. The twin, move by move and reason by reason, is `skerry.settle`.
@dev    Of a job only a hash of its terms names it and two words are kept; whoever moves supplies
        the terms, the leases or the epoch again. So no move costs more for more lanes.
        At each second exactly one of a move and its time-out is possible: a move until and with
        its deadline, the time-out after it. All times are seconds.
"""

from . import reasons

struct Terms:
    spec: bytes32
    leases: bytes32
    submitter: address
    coordinator: address
    auditors: address[4]
    secrets: bytes32[4]
    price_max: uint256
    price_audit: uint256
    price_record: uint256
    stake_solver: uint256
    stake_auditor: uint256
    stake_coordinator: uint256
    capability: uint256
    nodes: uint256
    lanes: uint256
    rounds: uint256
    epochs: uint256
    segments: uint256
    draws: uint256
    delay: uint256
    phase: uint256
    window: uint256
    ends: uint256
    clock: uint256


struct Lease:
    node: address
    lanes: uint256
    price: uint256
    stake: uint256


# The node, its role and an auditor's secret are not repeated: the terms and leases say them.
struct Signed:
    capability: uint256
    lanes: uint256
    price: uint256
    stake: uint256
    expires: uint256
    seconds: uint256
    nonce: uint256
    r: bytes32
    vs: bytes32


struct Epoch:
    number: uint256
    root: bytes32
    round_from: uint256
    round_to: uint256
    committed: uint256
    tally: bytes32


# What evidence of a receipt says, in `evidence.vy`, which reads it.
struct Found:
    round: uint256
    lane: uint256
    node: uint256
    units: uint256
    receipt: bytes32
    place: uint256


# What the court is handed by whoever opens a dispute, and hands on.
struct Docket:
    terms: Terms
    leases: DynArray[bytes32, 64]
    lease: Lease
    epoch: Epoch
    evidence: Bytes[EVIDENCE_BYTES]
    r: bytes32
    vs: bytes32


struct Record:
    epoch: uint256
    round: uint256
    record: bytes32
    r: bytes32
    vs: bytes32


struct Take:
    who: address
    amount: uint256
    nonce: uint256


struct Move:
    who: address
    unlock: uint256
    credit: uint256


interface Evidence:
    def sound(
        terms: Terms, phase_min: uint256, window_max: uint256, lease_max: uint256
    ) -> (uint256, uint256): view
    def read(evidence: Bytes[EVIDENCE_BYTES]) -> Found: pure
    def proven(
        job: bytes32,
        number: uint256,
        root: bytes32,
        round_from: uint256,
        round_to: uint256,
        lanes: uint256,
        evidence: Bytes[EVIDENCE_BYTES],
    ) -> Found: pure
    def above(
        leaf: bytes32, index: uint256, count: uint256, path: DynArray[bytes32, 64]
    ) -> bytes32: pure
    def asked(
        spec: bytes32,
        found: Found,
        receipt: Bytes[RECEIPT_BYTES],
        config: Bytes[RECEIPT_BYTES],
    ) -> bool: pure
    def tag(
        seed: bytes32, fold: bytes32, auditor: address, trace: bytes32, traced: Bytes[TRACED_BYTES]
    ) -> bytes32: pure


interface Vault:
    def lock(who: address, amount: uint256): nonpayable
    def take_leases(takes: DynArray[Take, 72]): nonpayable
    def settle(moves: DynArray[Move, 72]): nonpayable
    def slash(who: address, amount: uint256, finder: address, other: address): nonpayable


event Awarded:
    job: indexed(bytes32)
    submitter: indexed(address)
    coordinator: indexed(address)


event EpochCommitted:
    job: indexed(bytes32)
    epoch: uint256
    root: bytes32
    round_from: uint256
    round_to: uint256


event DrawLocked:
    job: indexed(bytes32)
    epoch: uint256
    randomness: bytes32


event SecretsRevealed:
    job: indexed(bytes32)
    epoch: uint256
    pot: uint256
    revealed: uint256


event VerdictCommitted:
    job: indexed(bytes32)
    epoch: uint256
    seat: uint256
    commitment: bytes32


event VerdictShown:
    job: indexed(bytes32)
    epoch: uint256
    seat: uint256
    accept: bool
    trace: bytes32
    tag: bytes32


event AuditorFell:
    job: indexed(bytes32)
    epoch: uint256
    seat: uint256


event RejectionCounted:
    job: indexed(bytes32)
    epoch: uint256
    seat: uint256


event CoordinatorFell:
    job: indexed(bytes32)
    finder: indexed(address)


event TallyRaised:
    job: indexed(bytes32)
    node: uint256
    units: uint256


event Admitted:
    job: indexed(bytes32)
    receipt: indexed(bytes32)
    solver: indexed(address)


event Dismissed:
    job: indexed(bytes32)
    receipt: indexed(bytes32)


event Convicted:
    job: indexed(bytes32)
    receipt: indexed(bytes32)
    node: uint256
    finder: indexed(address)
    segment: uint256


event Misplaced:
    job: indexed(bytes32)
    receipt: indexed(bytes32)
    node: uint256
    finder: indexed(address)
    segment: uint256


event Settled:
    job: indexed(bytes32)
    epoch: uint256
    paid: uint256
    closed: bool


RING: constant(uint256) = 8
SEATS: constant(uint256) = 4
LEASES: constant(uint256) = 64
DOCKET_BYTES: constant(uint256) = 8192
EVIDENCE_BYTES: constant(uint256) = 3136
TRACED_BYTES: constant(uint256) = 11008
RECEIPT_BYTES: constant(uint256) = 4096
EPOCHS: constant(uint256) = 1024
HALF_ORDER: constant(uint256) = (
    57896044618658097711785492504343953926418782139537452191302581570759080747168
)

# A job's word: escrow, epochs, rounds, games, fallen auditors, fallen coordinator, status, audited
ESCROW: constant(uint256) = 2**96 - 1
ONE_EPOCH: constant(uint256) = 2**96
ONE_ROUND: constant(uint256) = 2**112
ONE_GAME: constant(uint256) = 2**144
FALLEN_AT: constant(uint256) = 160
COORDINATOR_FELL: constant(uint256) = 2**164
OPEN: constant(uint256) = 2**165
CLOSED: constant(uint256) = 2**166
AUDITED_AT: constant(uint256) = 168
U16: constant(uint256) = 2**16 - 1
U32: constant(uint256) = 2**32 - 1
U64: constant(uint256) = 2**64 - 1

# An audit's word: pot, time of the epoch, whether drawn, four masks, split, start of the trace, a
# byte of each tag, who was counted for rejecting a lie
POT: constant(uint256) = 2**128 - 1
COMMITTED_AT: constant(uint256) = 128
U40: constant(uint256) = 2**40 - 1
DRAWN: constant(uint256) = 2**168
REVEALED_AT: constant(uint256) = 169
SEALED_AT: constant(uint256) = 173
SHOWN_AT: constant(uint256) = 177
ACCEPTS_AT: constant(uint256) = 181
SPLIT: constant(uint256) = 2**185
TRACE_AT: constant(uint256) = 186
TAGS_AT: constant(uint256) = 218
COUNTED_AT: constant(uint256) = 250
ONE: constant(uint256) = 1

OFFER_TYPE: constant(bytes32) = keccak256(
    "Offer(address node,uint8 role,uint8 capability,uint32 lanes,uint96 price,uint96 stake,uint64 expires,uint64 seconds,uint64 nonce,bytes32 secret)"
)
ROUND_TYPE: constant(bytes32) = keccak256(
    "Round(bytes32 job,uint64 epoch,uint64 round,bytes32 record)"
)
CLAIM_TYPE: constant(bytes32) = keccak256(
    "Claim(bytes32 job,uint64 round,uint32 lane,bytes32 receipt)"
)
DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)

VAULT: public(immutable(Vault))
COURT: public(immutable(address))
EVIDENCE: public(immutable(Evidence))
PHASE_MIN: public(immutable(uint256))
WINDOW_MAX: public(immutable(uint256))
LEASE_MAX: public(immutable(uint256))
DOMAIN: public(immutable(bytes32))

jobs: HashMap[bytes32, uint256]
flags: HashMap[bytes32, uint256]        # convicted 64, raised 64, quiet 64
epochs: HashMap[bytes32, bytes32[8]]
audits: HashMap[bytes32, uint256[8]]
folds: HashMap[bytes32, bytes32[8]]
units: HashMap[bytes32, HashMap[uint256, uint256]]
paid: HashMap[bytes32, bytes32]
lies: HashMap[bytes32, HashMap[uint256, bool]]


@deploy
def __init__(
    vault: address,
    court: address,
    evidence: address,
    phase_min: uint256,
    window_max: uint256,
    lease_max: uint256,
):
    """
    @param vault      The vault that knows this market.
    @param court      The only court, deployed after this: its address is known beforehand.
    @param evidence   Who reads evidence.
    @param phase_min  Shortest phase of an audit, so that nobody is slashed for sleeping.
    @param window_max Longest window, so that nobody waits for ever.
    @param lease_max  Longest time from an award to a job's end.
    """
    VAULT = Vault(vault)
    COURT = court
    EVIDENCE = Evidence(evidence)
    PHASE_MIN = phase_min
    WINDOW_MAX = window_max
    LEASE_MAX = lease_max
    DOMAIN = keccak256(
        abi_encode(DOMAIN_TYPE, keccak256("Skerry"), keccak256("1"), chain.id, self)
    )


# ---- the award -----------------------------------------------------------------------------------


@external
def award(terms: Terms, leases: DynArray[Lease, LEASES], offers: DynArray[Signed, 69]) -> bytes32:
    """
    @notice Make a job: lock the sender's budget and everyone's stake.
    @param offers One for each lease, then each auditor, then the coordinator if not the sender.
    """
    reasons.need(msg.sender == terms.submitter, reasons.SENDER)
    seats: uint256 = 0
    budget: uint256 = 0
    seats, budget = staticcall EVIDENCE.sound(terms, PHASE_MIN, WINDOW_MAX, LEASE_MAX)
    job: bytes32 = sha256(abi_encode(terms))
    reasons.need(self.jobs[job] == 0, reasons.TWICE)
    count: uint256 = len(leases)
    reasons.need(count == terms.nodes, reasons.LEASES)
    reasons.need(self._lease_hash(leases) == terms.leases, reasons.LEASES)
    own: bool = terms.coordinator == msg.sender
    others: uint256 = seats
    if not own:
        others += 1
    reasons.need(len(offers) == count + others, reasons.LEASES)
    takes: DynArray[Take, 72] = []
    lanes: uint256 = 0
    for at: uint256 in range(count, bound=LEASES):
        lease: Lease = leases[at]
        offer: Signed = offers[at]
        reasons.need(lease.lanes >= 1 and lease.lanes <= min(offer.lanes, terms.lanes), reasons.LANES)
        reasons.need(offer.price <= lease.price and lease.price <= terms.price_max, reasons.PRICE)
        reasons.need(terms.stake_solver <= lease.stake and lease.stake <= ESCROW, reasons.STAKE)
        reasons.need(terms.capability <= offer.capability, reasons.CAPABILITY)
        self._check_offer(offer, terms.ends, lease.node, 0, lease.stake, empty(bytes32))
        lanes += lease.lanes
        takes.append(Take(who=lease.node, amount=lease.stake, nonce=offer.nonce))
    reasons.need(lanes == terms.lanes, reasons.LANES)
    for at: uint256 in range(others, bound=5):
        offer: Signed = offers[count + at]
        node: address = terms.coordinator
        stake: uint256 = terms.stake_coordinator
        if at < seats:
            node = terms.auditors[at]
            stake = terms.stake_auditor
            reasons.need(offer.price <= terms.price_audit, reasons.PRICE)
            self._check_offer(offer, terms.ends, node, 1, stake, terms.secrets[at])
        else:
            reasons.need(offer.price <= terms.price_record, reasons.PRICE)
            self._check_offer(offer, terms.ends, node, 2, stake, empty(bytes32))
        takes.append(Take(who=node, amount=stake, nonce=offer.nonce))
    reasons.need(budget <= ESCROW, reasons.FUNDS)
    self.jobs[job] = OPEN | budget
    extcall VAULT.take_leases(takes)
    if own:
        extcall VAULT.lock(msg.sender, budget + terms.stake_coordinator)
    else:
        extcall VAULT.lock(msg.sender, budget)
    log Awarded(job=job, submitter=msg.sender, coordinator=terms.coordinator)
    return job


@internal
@pure
def _lease_hash(leases: DynArray[Lease, LEASES]) -> bytes32:
    digests: DynArray[bytes32, LEASES] = []
    for lease: Lease in leases:
        digests.append(sha256(abi_encode(lease)))
    return sha256(abi_encode(digests))


@internal
@view
def _check_offer(
    offer: Signed, ends: uint256, node: address, role: uint256, stake: uint256, secret: bytes32
):
    reasons.need(block.timestamp <= offer.expires, reasons.EXPIRED)
    reasons.need(ends - block.timestamp <= offer.seconds, reasons.SECONDS)
    reasons.need(stake <= offer.stake, reasons.STAKE)
    said: bytes32 = keccak256(
        abi_encode(
            OFFER_TYPE,
            node,
            role,
            offer.capability,
            offer.lanes,
            offer.price,
            offer.stake,
            offer.expires,
            offer.seconds,
            offer.nonce,
            secret,
        )
    )
    reasons.need(self._signer(said, offer.r, offer.vs) == node, reasons.SIGNATURE)


@internal
@view
def _signer(said: bytes32, r: bytes32, vs: bytes32) -> address:
    """
    @notice Who signed, by EIP-712 and EIP-2098; nobody where the signature is none, or not the
            lower of the two that one can make.
    """
    s: uint256 = convert(vs, uint256) & (2**255 - 1)
    if s > HALF_ORDER:
        return empty(address)
    return ecrecover(
        keccak256(concat(b"\x19\x01", DOMAIN, said)),
        27 + (convert(vs, uint256) >> 255),
        convert(r, uint256),
        s,
    )


# ---- epochs --------------------------------------------------------------------------------------


@internal
@view
def _open_job(terms: Terms) -> (bytes32, uint256):
    job: bytes32 = sha256(abi_encode(terms))
    word: uint256 = self.jobs[job]
    reasons.need(word != 0, reasons.UNKNOWN)
    reasons.need(word & OPEN != 0, reasons.CLOSED)
    return job, word


@internal
@pure
def _epoch_hash(epoch: Epoch) -> bytes32:
    return keccak256(abi_encode(epoch))


@internal
@view
def _remembered(job: bytes32, word: uint256, epoch: Epoch):
    count: uint256 = word // ONE_EPOCH & U16
    reasons.need(epoch.number < count and epoch.number + RING >= count, reasons.EPOCH)
    reasons.need(self.epochs[job][epoch.number % RING] == self._epoch_hash(epoch), reasons.EPOCH)


@external
def commit_epoch(
    terms: Terms, root: bytes32, rounds: uint256, tally: DynArray[uint256, LEASES]
):
    """
    @notice Record the next `rounds` rounds under one root, and all units accepted so far.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    reasons.need(msg.sender == terms.coordinator, reasons.SENDER)
    reasons.need(word & COORDINATOR_FELL == 0, reasons.FALLEN)
    reasons.need(block.timestamp <= terms.ends, reasons.LATE)
    first: uint256 = word // ONE_ROUND & U32
    reasons.need(rounds >= 1 and rounds <= terms.rounds - first, reasons.ROUNDS)
    number: uint256 = word // ONE_EPOCH & U16
    reasons.need(number < terms.epochs, reasons.EPOCH)
    reasons.need(len(tally) == terms.nodes, reasons.TALLY)
    most: uint256 = (first + rounds) * terms.lanes
    total: uint256 = 0
    for units: uint256 in tally:
        reasons.need(units <= most, reasons.TALLY)
        total += units
    reasons.need(total <= most, reasons.TALLY)
    place: uint256 = number % RING
    if number >= RING:
        before: uint256 = self.audits[job][place] >> COMMITTED_AT & U40
        reasons.need(block.timestamp > before + terms.window, reasons.OPEN)
    self.jobs[job] = word + ONE_EPOCH + rounds * ONE_ROUND
    self.epochs[job][place] = self._epoch_hash(
        Epoch(
            number=number,
            root=root,
            round_from=first,
            round_to=first + rounds,
            committed=block.timestamp,
            tally=keccak256(abi_encode(tally)),
        )
    )
    self.audits[job][place] = block.timestamp << COMMITTED_AT
    log EpochCommitted(
        job=job, epoch=number, root=root, round_from=first, round_to=first + rounds
    )


@external
def equivocate(terms: Terms, first: Record, second: Record):
    """
    @notice Slash a coordinator that signed two records for one round of one epoch.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    reasons.need(word & COORDINATOR_FELL == 0, reasons.FALLEN)
    reasons.need(first.epoch == second.epoch and first.round == second.round, reasons.ROUNDS)
    reasons.need(first.record != second.record, reasons.SAME)
    reasons.need(self._record_signer(job, first) == terms.coordinator, reasons.SIGNATURE)
    reasons.need(self._record_signer(job, second) == terms.coordinator, reasons.SIGNATURE)
    self._fell_coordinator(
        job, word, terms.coordinator, terms.stake_coordinator, terms.submitter
    )


@external
def misrecord(
    terms: Terms,
    epoch: Epoch,
    signed: Record,
    committed: bytes32,
    path: DynArray[bytes32, 32],
):
    """
    @notice Slash a coordinator whose epoch holds another record than the one it signed.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    reasons.need(word & COORDINATOR_FELL == 0, reasons.FALLEN)
    self._remembered(job, word, epoch)
    at: uint256 = signed.round
    reasons.need(signed.epoch == epoch.number, reasons.ROUNDS)
    reasons.need(at >= epoch.round_from and at < epoch.round_to, reasons.ROUNDS)
    reasons.need(signed.record != committed, reasons.SAME)
    reasons.need(self._record_signer(job, signed) == terms.coordinator, reasons.SIGNATURE)
    count: uint256 = epoch.round_to - epoch.round_from
    root: bytes32 = staticcall EVIDENCE.above(committed, at - epoch.round_from, count, path)
    reasons.need(root == epoch.root, reasons.PATH)
    self._fell_coordinator(
        job, word, terms.coordinator, terms.stake_coordinator, terms.submitter
    )


@external
def raise_tally(
    terms: Terms,
    epoch: Epoch,
    tally: DynArray[uint256, LEASES],
    evidence: Bytes[EVIDENCE_BYTES],
):
    """
    @notice Count a lease's units as a record says, and slash the coordinator for the difference.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    self._remembered(job, word, epoch)
    reasons.need(keccak256(abi_encode(tally)) == epoch.tally, reasons.EPOCH)
    reasons.need(block.timestamp <= epoch.committed + terms.window, reasons.LATE)
    it: Found = self._proven(job, epoch, terms.lanes, evidence)
    node: uint256 = it.node
    reasons.need(node < terms.nodes, reasons.LEASES)
    reasons.need(it.units <= epoch.round_to * terms.lanes, reasons.TALLY)
    known: uint256 = max(tally[node], self.units[job][node])
    reasons.need(it.units > known, reasons.TALLY)
    self.units[job][node] = it.units
    self.flags[job] |= ONE << 64 + node
    log TallyRaised(job=job, node=node, units=it.units)
    if word & COORDINATOR_FELL == 0:
        self._fell_coordinator(
            job, word, terms.coordinator, terms.stake_coordinator, terms.submitter
        )


@internal
def _fell_coordinator(
    job: bytes32, word: uint256, coordinator: address, stake: uint256, submitter: address
):
    self.jobs[job] = word | COORDINATOR_FELL
    extcall VAULT.slash(coordinator, stake, msg.sender, submitter)
    log CoordinatorFell(job=job, finder=msg.sender)


@internal
@view
def _record_signer(job: bytes32, it: Record) -> address:
    said: bytes32 = keccak256(abi_encode(ROUND_TYPE, job, it.epoch, it.round, it.record))
    return self._signer(said, it.r, it.vs)


@internal
@view
def _proven(
    job: bytes32, epoch: Epoch, lanes: uint256, evidence: Bytes[EVIDENCE_BYTES]
) -> Found:
    """
    @notice What evidence says, which must stand under the epoch's root.
    """
    return staticcall EVIDENCE.proven(
        job, epoch.number, epoch.root, epoch.round_from, epoch.round_to, lanes, evidence
    )


# ---- audits --------------------------------------------------------------------------------------


@internal
@view
def _audit(job: bytes32, word: uint256, epoch: uint256) -> uint256:
    count: uint256 = word // ONE_EPOCH & U16
    reasons.need(epoch < count and epoch + RING >= count, reasons.EPOCH)
    return self.audits[job][epoch % RING]


@internal
@pure
def _seated(auditors: address[4], seat: uint256) -> address:
    reasons.need(seat < SEATS, reasons.SEAT)
    reasons.need(auditors[seat] != empty(address), reasons.SEAT)
    return auditors[seat]


@internal
@view
def _in_phase(length: uint256, audit: uint256, phase: uint256):
    committed: uint256 = audit >> COMMITTED_AT & U40
    reasons.need(block.timestamp > committed + (phase - 1) * length, reasons.EARLY)
    reasons.need(block.timestamp <= committed + phase * length, reasons.LATE)


@external
def lock_draw(terms: Terms, epoch: uint256):
    """
    @notice Take this block's randomness for an epoch's draw.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    audit: uint256 = self._audit(job, word, epoch)
    committed: uint256 = audit >> COMMITTED_AT & U40
    reasons.need(audit & DRAWN == 0, reasons.TWICE)
    reasons.need(block.timestamp > committed + terms.delay, reasons.EARLY)
    reasons.need(block.timestamp <= committed + terms.phase, reasons.LATE)
    pot: bytes32 = sha256(
        concat(b"\x00pot\x00", job, convert(epoch, bytes32), block.prevrandao)
    )
    self.audits[job][epoch % RING] = audit | DRAWN | convert(pot, uint256) >> 128
    log DrawLocked(job=job, epoch=epoch, randomness=block.prevrandao)


@external
def reveal_secrets(
    terms: Terms, epoch: uint256, seats: DynArray[uint256, SEATS], secrets: DynArray[bytes32, SEATS]
):
    """
    @notice Mix auditors' secrets into the draw. Whoever knows one may send it.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    audit: uint256 = self._audit(job, word, epoch)
    reasons.need(audit & DRAWN != 0, reasons.UNDRAWN)
    committed: uint256 = audit >> COMMITTED_AT & U40
    reasons.need(block.timestamp <= committed + 2 * terms.phase, reasons.LATE)
    reasons.need(len(seats) == len(secrets), reasons.SEAT)
    for at: uint256 in range(len(seats), bound=SEATS):
        seat: uint256 = seats[at]
        self._seated(terms.auditors, seat)
        reasons.need(audit >> REVEALED_AT + seat & 1 == 0, reasons.TWICE)
        hashed: bytes32 = secrets[at]
        for time: uint256 in range(epoch + 1, bound=EPOCHS):
            hashed = sha256(hashed)
        reasons.need(hashed == terms.secrets[seat], reasons.SECRET)
        spice: bytes32 = sha256(concat(b"\x00spice\x00", convert(seat, bytes32), secrets[at]))
        audit = (audit ^ convert(spice, uint256) >> 128) | ONE << REVEALED_AT + seat
    self.audits[job][epoch % RING] = audit
    log SecretsRevealed(
        job=job, epoch=epoch, pot=audit & POT, revealed=audit >> REVEALED_AT & 15
    )


@external
def commit_verdict(terms: Terms, epoch: uint256, seat: uint256, commitment: bytes32):
    """
    @notice Bind one's verdict before anyone else's can be seen.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    audit: uint256 = self._audit(job, word, epoch)
    reasons.need(audit & DRAWN != 0, reasons.UNDRAWN)
    reasons.need(msg.sender == self._seated(terms.auditors, seat), reasons.SENDER)
    reasons.need(word >> FALLEN_AT + seat & 1 == 0, reasons.FALLEN)
    self._in_phase(terms.phase, audit, 3)
    reasons.need(audit >> REVEALED_AT + seat & 1 == 1, reasons.SECRET)
    reasons.need(audit >> SEALED_AT + seat & 1 == 0, reasons.TWICE)
    fold: bytes32 = empty(bytes32)
    if audit >> SEALED_AT & 15 != 0:
        fold = self.folds[job][epoch % RING]
    self.folds[job][epoch % RING] = self._folded(fold, seat, commitment)
    self.audits[job][epoch % RING] = audit | ONE << SEALED_AT + seat
    log VerdictCommitted(job=job, epoch=epoch, seat=seat, commitment=commitment)


@internal
@pure
def _folded(fold: bytes32, seat: uint256, commitment: bytes32) -> bytes32:
    return sha256(concat(fold, convert(seat, bytes32), commitment))


@external
def show_verdict(
    terms: Terms,
    epoch: uint256,
    seat: uint256,
    accept: bool,
    trace: bytes32,
    salt: bytes32,
    tag: bytes32,
    seats: DynArray[uint256, SEATS],
    commitments: DynArray[bytes32, SEATS],
):
    """
    @notice Open one's verdict.
    @param tag         Proof that one holds the value drawn after all commitments; a byte is kept.
    @param seats       Who committed, in the order in which they did.
    @param commitments What they committed to.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    audit: uint256 = self._audit(job, word, epoch)
    reasons.need(msg.sender == self._seated(terms.auditors, seat), reasons.SENDER)
    reasons.need(word >> FALLEN_AT + seat & 1 == 0, reasons.FALLEN)
    self._in_phase(terms.phase, audit, 4)
    reasons.need(audit >> SEALED_AT + seat & 1 == 1, reasons.VERDICT)
    reasons.need(audit >> SHOWN_AT + seat & 1 == 0, reasons.TWICE)
    self._bound(job, epoch, seat, accept, trace, salt, seats, commitments, msg.sender)
    audit |= (convert(tag, uint256) >> 248) << TAGS_AT + 8 * seat
    self._count_verdict(job, word, epoch, seat, accept, convert(trace, uint256) >> 224, audit)
    log VerdictShown(job=job, epoch=epoch, seat=seat, accept=accept, trace=trace, tag=tag)


@internal
@view
def _bound(
    job: bytes32,
    epoch: uint256,
    seat: uint256,
    accept: bool,
    trace: bytes32,
    salt: bytes32,
    seats: DynArray[uint256, SEATS],
    commitments: DynArray[bytes32, SEATS],
    auditor: address,
) -> bytes32:
    """
    @notice Refuse a verdict that is not the one which its auditor bound; return the fold of all.
    """
    reasons.need(len(seats) == len(commitments), reasons.FOLD)
    fold: bytes32 = empty(bytes32)
    mine: bytes32 = empty(bytes32)
    for at: uint256 in range(len(seats), bound=SEATS):
        fold = self._folded(fold, seats[at], commitments[at])
        if seats[at] == seat:
            mine = commitments[at]
    reasons.need(fold == self.folds[job][epoch % RING], reasons.FOLD)
    own: bytes32 = sha256(
        concat(
            b"\x00verdict\x00",
            job,
            convert(epoch, bytes32),
            convert(auditor, bytes32),
            convert(accept, bytes32),
            trace,
            salt,
        )
    )
    reasons.need(mine == own, reasons.VERDICT)
    return fold


@internal
def _count_verdict(
    job: bytes32,
    word: uint256,
    epoch: uint256,
    seat: uint256,
    accept: bool,
    trace: uint256,
    audit: uint256,
):
    """
    @notice Count an accepting verdict for pay; where two traces differ, count none of the epoch.
    """
    after: uint256 = audit | ONE << SHOWN_AT + seat
    if accept:
        after |= ONE << ACCEPTS_AT + seat
    first: bool = audit >> SHOWN_AT & 15 == 0
    if first:
        after |= trace << TRACE_AT
    if not first and audit & SPLIT == 0 and trace != audit >> TRACE_AT & U32:
        after |= SPLIT
        counted: uint256 = word
        for other: uint256 in range(SEATS):
            if audit >> ACCEPTS_AT + other & 1 == 1:
                counted -= ONE << AUDITED_AT + 16 * other
        if counted != word:
            self.jobs[job] = counted
    elif accept and audit & SPLIT == 0:
        self.jobs[job] = word + (ONE << AUDITED_AT + 16 * seat)
    self.audits[job][epoch % RING] = after


@external
def punish_silence(terms: Terms, epoch: uint256, seat: uint256):
    """
    @notice Slash an auditor that let a phase of a drawn audit go by.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    audit: uint256 = self._audit(job, word, epoch)
    reasons.need(audit & DRAWN != 0, reasons.UNDRAWN)
    auditor: address = self._seated(terms.auditors, seat)
    reasons.need(word >> FALLEN_AT + seat & 1 == 0, reasons.FALLEN)
    committed: uint256 = audit >> COMMITTED_AT & U40
    phase: uint256 = terms.phase
    unrevealed: bool = audit >> REVEALED_AT + seat & 1 == 0
    unsealed: bool = audit >> SEALED_AT + seat & 1 == 0
    unshown: bool = audit >> SHOWN_AT + seat & 1 == 0
    missed: bool = unrevealed and block.timestamp > committed + 2 * phase
    missed = missed or (unsealed and block.timestamp > committed + 3 * phase)
    missed = missed or (unshown and block.timestamp > committed + 4 * phase)
    reasons.need(missed, reasons.EARLY)
    self._fell_auditor(
        job, word, auditor, terms.stake_auditor, terms.submitter, epoch, seat
    )


@external
def blame(terms: Terms, epoch: Epoch, seat: uint256, draw: uint256):
    """
    @notice Of a drawn segment that a dispute convicted: slash an auditor that had accepted it, or
            count one that had rejected it for pay.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    self._remembered(job, word, epoch)
    audit: uint256 = self.audits[job][epoch.number % RING]
    auditor: address = self._seated(terms.auditors, seat)
    reasons.need(word >> FALLEN_AT + seat & 1 == 0, reasons.FALLEN)
    reasons.need(audit >> SHOWN_AT + seat & 1 == 1, reasons.VERDICT)
    reasons.need(draw < terms.draws, reasons.LIE)
    seed: bytes32 = self._seed(job, epoch.number, audit)
    hit: bytes32 = sha256(concat(b"\x00segment\x00", seed, convert(draw, bytes32)))
    total: uint256 = (epoch.round_to - epoch.round_from) * terms.lanes
    total *= terms.segments
    index: uint256 = convert(hit, uint256) % total
    reasons.need(self.lies[job][epoch.number << 128 | index], reasons.LIE)
    if audit >> ACCEPTS_AT + seat & 1 == 1:
        self._fell_auditor(
            job, word, auditor, terms.stake_auditor, terms.submitter, epoch.number, seat
        )
    else:
        reasons.need(audit >> COUNTED_AT + seat & 1 == 0, reasons.TWICE)
        self.audits[job][epoch.number % RING] = audit | ONE << COUNTED_AT + seat
        self.jobs[job] = word + (ONE << AUDITED_AT + 16 * seat)
        log RejectionCounted(job=job, epoch=epoch.number, seat=seat)


@external
def disprove_tag(
    terms: Terms,
    epoch: uint256,
    seat: uint256,
    accept: bool,
    trace: bytes32,
    salt: bytes32,
    seats: DynArray[uint256, SEATS],
    commitments: DynArray[bytes32, SEATS],
    traced: Bytes[TRACED_BYTES],
):
    """
    @notice Slash an auditor whose tag is not that of the leaf which was drawn, under its own trace.
    @param traced `Traced` of evidence.vy, encoded as one tuple.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    audit: uint256 = self._audit(job, word, epoch)
    auditor: address = self._seated(terms.auditors, seat)
    reasons.need(word >> FALLEN_AT + seat & 1 == 0, reasons.FALLEN)
    reasons.need(audit >> SHOWN_AT + seat & 1 == 1, reasons.VERDICT)
    fold: bytes32 = self._bound(
        job, epoch, seat, accept, trace, salt, seats, commitments, auditor
    )
    seed: bytes32 = self._seed(job, epoch, audit)
    tag: bytes32 = staticcall EVIDENCE.tag(seed, fold, auditor, trace, traced)
    shown: uint256 = audit >> TAGS_AT + 8 * seat & 255
    reasons.need(convert(tag, uint256) >> 248 != shown, reasons.SAME)
    self._fell_auditor(job, word, auditor, terms.stake_auditor, terms.submitter, epoch, seat)


@internal
@pure
def _seed(job: bytes32, epoch: uint256, audit: uint256) -> bytes32:
    """
    @notice The seed of an epoch's draw.
    """
    pot: bytes16 = convert(convert(audit & POT, uint128), bytes16)
    return sha256(concat(b"\x00draw\x00", job, convert(epoch, bytes32), pot))


@internal
def _fell_auditor(
    job: bytes32,
    word: uint256,
    auditor: address,
    stake: uint256,
    submitter: address,
    epoch: uint256,
    seat: uint256,
):
    self.jobs[job] = word | ONE << FALLEN_AT + seat
    extcall VAULT.slash(auditor, stake, msg.sender, submitter)
    log AuditorFell(job=job, epoch=epoch, seat=seat)


# ---- the court's port ----------------------------------------------------------------------------


@external
def admit(docket: Bytes[DOCKET_BYTES], receipt: bytes32) -> (address, uint256):
    """
    @notice Open a dispute about a receipt that stands in an epoch which is not final.
    @param docket `Docket`, encoded as one tuple; r and vs are the solver's signature of its claim.
    @return The solver, and the seconds on each party's clock.
    """
    it: Docket = self._read(docket)
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(it.terms)
    found: Found = self._answered(it, job, word)
    reasons.need(receipt == found.receipt, reasons.PATH)
    reasons.need(self.flags[job] >> found.node & 1 == 0, reasons.CONVICTED)
    reasons.need(word // ONE_GAME & U16 < U16, reasons.GAMES)
    self.jobs[job] = word + ONE_GAME
    log Admitted(job=job, receipt=receipt, solver=it.lease.node)
    return it.lease.node, it.terms.clock


@internal
@view
def _read(docket: Bytes[DOCKET_BYTES]) -> Docket:
    reasons.need(msg.sender == COURT, reasons.SENDER)
    return abi_decode(docket, Docket)


@internal
@view
def _answered(it: Docket, job: bytes32, word: uint256) -> Found:
    """
    @notice Refuse a receipt that does not stand in an open epoch, or that its solver never signed.
    """
    self._remembered(job, word, it.epoch)
    reasons.need(block.timestamp <= it.epoch.committed + it.terms.window, reasons.LATE)
    found: Found = self._proven(job, it.epoch, it.terms.lanes, it.evidence)
    self._check_lease(it, found.node)
    said: bytes32 = keccak256(
        abi_encode(CLAIM_TYPE, job, found.round, found.lane, found.receipt)
    )
    reasons.need(self._signer(said, it.r, it.vs) == it.lease.node, reasons.SIGNATURE)
    return found


@internal
@pure
def _check_lease(it: Docket, node: uint256):
    reasons.need(sha256(abi_encode(it.leases)) == it.terms.leases, reasons.LEASES)
    reasons.need(node < len(it.leases), reasons.LEASES)
    reasons.need(sha256(abi_encode(it.lease)) == it.leases[node], reasons.LEASES)


@external
def dismiss(docket: Bytes[DOCKET_BYTES], receipt: bytes32):
    """
    @notice End a dispute that the solver won.
    """
    it: Docket = self._read(docket)
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(it.terms)
    reasons.need(word // ONE_GAME & U16 > 0, reasons.GAMES)
    self.jobs[job] = word - ONE_GAME
    log Dismissed(job=job, receipt=receipt)


@external
def convict(docket: Bytes[DOCKET_BYTES], receipt: bytes32, segment: uint256, finder: address):
    """
    @notice End a dispute that the solver lost; the first one takes its stake.
    @param segment The lying segment of the unit.
    @param finder  Who found the lie; gets a quarter of the stake, as the submitter does.
    """
    it: Docket = self._read(docket)
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(it.terms)
    reasons.need(word // ONE_GAME & U16 > 0, reasons.GAMES)
    found: Found = staticcall EVIDENCE.read(it.evidence)
    self._check_lease(it, found.node)
    self.jobs[job] = word - ONE_GAME
    at: uint256 = self._fell_solver(it, job, found, segment, finder)
    log Convicted(job=job, receipt=receipt, node=found.node, finder=finder, segment=at)


@external
def misplace(
    docket: Bytes[DOCKET_BYTES],
    receipt: Bytes[RECEIPT_BYTES],
    config: Bytes[RECEIPT_BYTES],
    segment: uint256,
):
    """
    @notice Convict a solver of a receipt that is about another unit than the job asks for there.
    @param receipt The receipt, with a signature of zeros.
    @param config  The run's terms, of which the job's spec is the digest.
    @param segment One to convict: an auditor answers for each of them alone.
    """
    it: Docket = abi_decode(docket, Docket)
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(it.terms)
    found: Found = self._answered(it, job, word)
    asked: bool = staticcall EVIDENCE.asked(it.terms.spec, found, receipt, config)
    reasons.need(not asked, reasons.SAME)
    at: uint256 = self._fell_solver(it, job, found, segment, msg.sender)
    log Misplaced(job=job, receipt=found.receipt, node=found.node, finder=msg.sender, segment=at)


@internal
def _fell_solver(
    it: Docket, job: bytes32, found: Found, segment: uint256, finder: address
) -> uint256:
    """
    @notice Remember a lie and take its author's stake, once; return the lie's index in its epoch.
    """
    node: uint256 = found.node
    flags: uint256 = self.flags[job]
    quiet: uint256 = block.timestamp + it.terms.phase
    self.flags[job] = flags & (2**128 - 1) | ONE << node | quiet << 128
    unit: uint256 = (found.round - it.epoch.round_from) * it.terms.lanes + found.lane
    at: uint256 = unit * it.terms.segments + min(segment, it.terms.segments - 1)
    self.lies[job][it.epoch.number << 128 | at] = True
    if flags >> node & 1 == 0:
        extcall VAULT.slash(it.lease.node, it.lease.stake, finder, it.terms.submitter)
    return at


# ---- the end -------------------------------------------------------------------------------------


@external
def settle(
    terms: Terms,
    leases: DynArray[Lease, LEASES],
    epoch: Epoch,
    tally: DynArray[uint256, LEASES],
    paid: DynArray[uint256, LEASES],
):
    """
    @notice Pay for everything up to a final epoch; with the last one, close the job.
    @param epoch All zero where none was ever committed.
    @param tally The epoch's; empty likewise.
    @param paid  The units paid for before, as the last settlement left them; empty at first.
    """
    job: bytes32 = empty(bytes32)
    word: uint256 = 0
    job, word = self._open_job(terms)
    reasons.need(self._lease_hash(leases) == terms.leases, reasons.LEASES)
    flags: uint256 = self.flags[job]
    self._check_final(terms.window, job, word, flags >> 128, epoch, tally)
    before: bytes32 = self.paid[job]
    if before == empty(bytes32):
        reasons.need(len(paid) == 0, reasons.BEFORE)
    else:
        reasons.need(keccak256(abi_encode(paid)) == before, reasons.BEFORE)
    count: uint256 = word // ONE_EPOCH & U16
    closing: bool = word & COORDINATOR_FELL != 0 or block.timestamp > terms.ends
    closing = closing or word // ONE_ROUND & U32 == terms.rounds
    closing = closing and (count == 0 or epoch.number == count - 1)
    reasons.need(closing or count > 0, reasons.EARLY)

    escrow: uint256 = word & ESCROW
    left: uint256 = escrow
    moves: DynArray[Move, 72] = []
    units: DynArray[uint256, LEASES] = []
    extras: DynArray[uint256, LEASES] = []
    spare: uint256 = epoch.round_to * terms.lanes  # units that are nobody's yet
    for at: uint256 in range(len(leases), bound=LEASES):
        lease: Lease = leases[at]
        done: uint256 = 0
        if len(paid) > 0:
            done = paid[at]
        counted: uint256 = 0
        if count > 0:
            counted = tally[at]
        if flags >> 64 + at & 1 == 1:
            counted = max(counted, self.units[job][at])
        # What the lease's own lanes can have made is there for it, whatever others are counted.
        total: uint256 = max(done, min(counted, epoch.round_to * lease.lanes))
        due: uint256 = 0
        freed: uint256 = 0
        extra: uint256 = 0
        if flags >> at & 1 == 0:
            due = min((total - done) * lease.price, left)
            extra = max(counted, total) - total
            if closing:
                freed = lease.stake
        left -= due
        spare -= min(total, spare)
        units.append(total)
        extras.append(extra)
        moves.append(Move(who=lease.node, unlock=freed, credit=freed + due))
    for at: uint256 in range(len(leases), bound=LEASES):
        more: uint256 = min(extras[at], spare)
        spare -= more
        extras[at] = more * leases[at].price
    if closing:
        self._close(terms, job, word, escrow, left, moves, extras)
    else:
        moves.append(Move(who=terms.submitter, unlock=escrow - left, credit=0))
        self.jobs[job] = word - escrow + left
        self.paid[job] = keccak256(abi_encode(units))
        extcall VAULT.settle(moves)
    log Settled(job=job, epoch=epoch.number, paid=escrow - left, closed=closing)


@internal
@view
def _check_final(
    window: uint256,
    job: bytes32,
    word: uint256,
    quiet: uint256,
    epoch: Epoch,
    tally: DynArray[uint256, LEASES],
):
    if word // ONE_EPOCH & U16 == 0:
        reasons.need(epoch.round_to == 0, reasons.EPOCH)
    else:
        self._remembered(job, word, epoch)
        reasons.need(keccak256(abi_encode(tally)) == epoch.tally, reasons.EPOCH)
        reasons.need(block.timestamp > epoch.committed + window, reasons.EARLY)
    reasons.need(word // ONE_GAME & U16 == 0, reasons.GAMES)
    reasons.need(block.timestamp > quiet, reasons.EARLY)


@internal
def _close(
    terms: Terms,
    job: bytes32,
    word: uint256,
    escrow: uint256,
    unspent: uint256,
    credits: DynArray[Move, 72],
    extras: DynArray[uint256, LEASES],
):
    """
    @notice Pay auditors and coordinator, free their stakes, pay solvers that ran lanes of others
            from what is left, and refund the submitter.
    """
    moves: DynArray[Move, 72] = credits
    left: uint256 = unspent
    stake: uint256 = terms.stake_auditor
    for seat: uint256 in range(SEATS):
        if terms.auditors[seat] == empty(address) or word >> FALLEN_AT + seat & 1 == 1:
            continue
        audited: uint256 = word >> AUDITED_AT + 16 * seat & U16
        due: uint256 = min(audited * terms.price_audit, left)
        left -= due
        moves.append(Move(who=terms.auditors[seat], unlock=stake, credit=stake + due))
    if word & COORDINATOR_FELL == 0:
        rounds: uint256 = word // ONE_ROUND & U32
        due: uint256 = min(rounds * terms.price_record, left)
        left -= due
        stake = terms.stake_coordinator
        moves.append(Move(who=terms.coordinator, unlock=stake, credit=stake + due))
    for at: uint256 in range(len(extras), bound=LEASES):
        due: uint256 = min(extras[at], left)
        left -= due
        moves[at].credit += due
    moves.append(Move(who=terms.submitter, unlock=escrow, credit=left))
    self.jobs[job] = word - escrow - OPEN + CLOSED
    extcall VAULT.settle(moves)


# ---- look up -------------------------------------------------------------------------------------


@external
@view
def job_word(job: bytes32) -> (uint256, uint256):
    """
    @return The job's word and its flags; 0 and 0 where there is no such job.
    """
    return self.jobs[job], self.flags[job]


@external
@view
def audit_word(job: bytes32, epoch: uint256) -> (bytes32, uint256, bytes32):
    """
    @return Of an epoch that is remembered: its hash, its audit's word, the fold of its verdicts.
    """
    place: uint256 = epoch % RING
    return self.epochs[job][place], self.audits[job][place], self.folds[job][place]
