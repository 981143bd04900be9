"""IPO on per-token means, the normalisation that its authors confirmed to TRL.

References
----------
Azar et al. 2023, arXiv 2310.12036, eq. 17; `beta` is the paper's tau.
"""

from __future__ import annotations

from trainer.losses.contract import Loss, LossOptions, LossTerms, PairedLogps


def _compute(pairs: PairedLogps, options: LossOptions) -> LossTerms:
    chosen_B, rejected_B = pairs.per_token(*pairs.logratios())
    losses_B = (chosen_B - rejected_B - 1 / (2 * options.beta)).square()  # eq. 17
    return LossTerms(losses_B, *pairs.logratio_rewards(options.beta))


LOSS = Loss("ipo", _compute)
