"""SPPO with hard labels: each logratio is drawn to its own target, 1/(2 beta) or its negative.

References
----------
Wu et al. 2024, arXiv 2405.00675, eq. 4.7 with P = 1 for chosen and 0 for rejected, divided by
eta squared (beta is 1/eta).
"""

from __future__ import annotations

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = pairs.logratios()
    target = 1 / (2 * options.beta)
    losses_B = (chosen_B - target).square() + (rejected_B + target).square()  # eq. 4.7
    return LossTerms(losses_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("sppo_hard", _compute)
