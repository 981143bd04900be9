"""SimPO: length-normalised rewards without a reference, and a target margin gamma.

References
----------
Meng, Xia, Chen 2024, arXiv 2405.14734, eq. 6; label smoothing as in TRL.
"""

from __future__ import annotations

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps, detached
from trainer.losses.dpo import smoothed_logistic


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = pairs.per_token(pairs.chosen_B, pairs.rejected_B)
    u_B = options.beta * (chosen_B - rejected_B) - options.gamma  # eq. 6
    return LossTerms(
        smoothed_logistic(u_B, options.label_smoothing),
        *detached(options.beta * chosen_B, options.beta * rejected_B),
    )


LOSS = Loss("simpo", _compute)
