"""A signed message comes from its signer, or is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.messages.receipts import Cost, Receipt, Unit, UnitId
from skerry.messages.signing import SignatureWrong, check_signature, sign, signed_digest, signer
from skerry.messages.wire import decode_as, encode

KEY, SIGN = signer(bytes(range(32)))
OTHER_KEY, OTHER_SIGN = signer(bytes(32))
A, B = bytes([1] * 32), bytes([2] * 32)


def receipt(steps: int = 4) -> Receipt:
    unit = Unit(
        id=UnitId(A, 0, 0), program=A, state=B, step_from=0, steps=steps, segments=1, seed=1
    )
    return Receipt(unit=unit, segments=(A,), outputs=(), cost=Cost(1, 1), signer=KEY)


def test_a_signed_receipt_is_its_signers() -> None:
    signed = sign(receipt(), SIGN)
    check_signature(signed)
    check_signature(decode_as(Receipt, encode(signed)))


def test_the_name_of_a_receipt_does_not_depend_on_its_signature() -> None:
    assert signed_digest(sign(receipt(), SIGN)) == signed_digest(receipt())
    assert signed_digest(receipt(4)) != signed_digest(receipt(5))


@given(st.integers(0, 511))
def test_no_bit_of_a_signature_may_change(bit: int) -> None:
    signed = sign(receipt(), SIGN)
    flipped = (int.from_bytes(signed.signature, "little") ^ 1 << bit).to_bytes(64, "little")
    with pytest.raises(SignatureWrong):
        check_signature(msgspec.structs.replace(signed, signature=flipped))


def test_a_receipt_that_its_signer_did_not_sign_is_refused() -> None:
    signed = sign(receipt(), SIGN)
    false = [
        receipt(),
        sign(receipt(), OTHER_SIGN),
        msgspec.structs.replace(signed, signer=OTHER_KEY),
        msgspec.structs.replace(signed, signer=bytes([255] * 32)),
        msgspec.structs.replace(signed, signer=bytes(3)),
        msgspec.structs.replace(signed, segments=(B,)),
    ]
    for message in false:
        with pytest.raises(SignatureWrong, match="the signature is not"):
            check_signature(message)
