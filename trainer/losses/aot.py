"""AOT on pairs: the k-th smallest policy gap is compared with the k-th smallest reference gap.

References
----------
Melnyk et al. 2024, arXiv 2406.05882, section 3.
"""

from __future__ import annotations

from torch import Tensor

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps
from trainer.losses.dpo import smoothed_logistic


def ranks(values_B: Tensor) -> Tensor:
    """Return the rank of every value (B), ties in order of position."""
    return values_B.argsort(stable=True).argsort(stable=True)


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    ref_chosen_B, ref_rejected_B = pairs.reference()
    ref_gaps_B, _ = (ref_chosen_B - ref_rejected_B).sort()
    gaps_B = pairs.chosen_B - pairs.rejected_B
    # The reference gap of a pair's rank stands beside the pair, so that the loss stays its own.
    u_B = options.beta * (gaps_B - ref_gaps_B[ranks(gaps_B)])
    return LossTerms(
        smoothed_logistic(u_B, options.label_smoothing), *pairs.logratio_rewards(options.beta)
    )


LOSS = Loss("aot", _compute, couples_batch=True)
