"""CPO's preference term; the training step adds its likelihood term as the SFT term.

References
----------
Xu et al. 2024, arXiv 2401.08417, eq. 3; label smoothing as in TRL.
"""

from __future__ import annotations

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps, detached
from trainer.losses.dpo import smoothed_logistic


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    u_B = options.beta * (pairs.chosen_B - pairs.rejected_B)  # eq. 3
    return LossTerms(
        smoothed_logistic(u_B, options.label_smoothing),
        *detached(options.beta * pairs.chosen_B, options.beta * pairs.rejected_B),
    )


LOSS = Loss("cpo", _compute)
