"""How large a stake must be for a lie not to pay.

What    `solver_stake` is the least stake of a solver; `fits_deterrence` asks whether a stake
        outweighs what a lie saves, at a given chance of being caught.
Why     A lie in one unit may poison everything that was merged since the last final round, and
        all of it is paid again. Whoever told it pays, so the stake must cover it.
Rule    stake >= open rounds x (pay of all lanes + record) + one replay of the unit.
        Chances are fractions of two integers. Nothing is rounded in the liar's favour.
Pure    Integers.
"""

from __future__ import annotations

# An epoch is open until its window ends, and the chain keeps so many epochs of a job open at once.
EPOCHS_OPEN_MAX = 8


def solver_stake(*, lanes: int, price: int, record: int, rounds_open: int, replay: int) -> int:
    """Return the least stake that pays for everything one lie can spoil."""
    return rounds_open * (lanes * price + record) + replay


def fits_deterrence(*, stake: int, saved: int, pay: int, caught: int, of: int) -> bool:
    """Return whether lying loses money: `caught` times in `of` it costs stake and pay.

    A liar saves `saved` and, when caught, loses `stake + pay`.
    """
    return caught * (stake + pay) >= of * saved
