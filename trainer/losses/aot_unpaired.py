"""AOT without pairing: the k-th smallest chosen logratio against the k-th smallest rejected one.

References
----------
Melnyk et al. 2024, arXiv 2406.05882, section 3.
"""

from __future__ import annotations

from trainer.losses.aot import ranks
from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps
from trainer.losses.dpo import smoothed_logistic


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = pairs.logratios()
    sorted_B, _ = rejected_B.sort(stable=True)
    u_B = options.beta * (chosen_B - sorted_B[ranks(chosen_B)])
    return LossTerms(
        smoothed_logistic(u_B, options.label_smoothing), *pairs.logratio_rewards(options.beta)
    )


LOSS = Loss("aot_unpaired", _compute, couples_batch=True)
