"""Advice: which remedies fit which pathology, worked out for one run.

What stands first is to be tried first: what this run's own measurements ask for, then what has the
best evidence elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

from diagnostics.dataremedies import (
    accept_the_tide,
    balance_lengths,
    check_columns,
    drop_identical,
    extend_first,
    harder_pairs,
    keep_pairs_least_alike,
    learn_the_format_first,
    more_examples_a_step,
    own_rejected,
    read_the_pairs,
    weigh_by_likelihood,
)
from diagnostics.ktoremedies import balance_labels, weigh_undesirable
from diagnostics.lossremedies import (
    add_sft_term,
    bounded_target,
    dpo_positive,
    expect_flips,
    less_sft,
    normalise_by_length,
    odds_lambda,
    rank_by_likelihood,
    weigh_the_tail_less,
)
from diagnostics.reading import Reading
from diagnostics.remedies import (
    log_more,
    lower_learning_rate,
    lower_rate_by_drift,
    lower_rate_where_it_bends,
    raise_beta,
    raise_learning_rate,
    raise_simpo_beta,
    same_reference,
    stop_at_the_peak,
    stop_earlier,
    try_lower_rate,
    warm_up_and_clip,
    weights_in_fp32,
)
from diagnostics.verdicts import Advice

Remedy = Callable[[Reading], Advice | None]

REMEDIES: dict[str, tuple[Remedy, ...]] = {
    "both_rise": (
        *(less_sft, odds_lambda, weigh_undesirable, learn_the_format_first),
        lower_rate_where_it_bends,
    ),
    "both_fall": (
        *(accept_the_tide, lower_rate_where_it_bends, add_sft_term, odds_lambda),
        *(normalise_by_length, keep_pairs_least_alike, own_rejected, lower_learning_rate),
    ),
    "rise_then_fall": (stop_at_the_peak, add_sft_term, raise_beta, lower_learning_rate),
    "reversed": (check_columns, lower_learning_rate, read_the_pairs),
    "margin_loss": (less_sft, odds_lambda, lower_learning_rate, check_columns),
    "flat_run": (raise_learning_rate, drop_identical, weights_in_fp32),
    "reference_mismatch": (same_reference,),
    "saturation": (stop_earlier, bounded_target, harder_pairs),
    "surface_cue": (harder_pairs, bounded_target),
    "kto_imbalance": (balance_labels,),
    "kl_stuck": (try_lower_rate, more_examples_a_step),
    "instability": (lower_learning_rate, warm_up_and_clip),
    "untrusted_numbers": (log_more,),
    "length_exploitation": (balance_lengths, weigh_the_tail_less, stop_earlier),
    "drift": (
        *(lower_rate_by_drift, lower_rate_where_it_bends, raise_beta, raise_simpo_beta),
        *(stop_earlier, own_rejected, bounded_target),
    ),
    "squeezing": (own_rejected, extend_first, lower_learning_rate, stop_earlier),
    "ranking_mismatch": (rank_by_likelihood,),
    "off_policy_rejected": (own_rejected, extend_first, weigh_by_likelihood),
    "near_duplicates": (drop_identical, dpo_positive, add_sft_term, keep_pairs_least_alike),
    "label_flips": (read_the_pairs, expect_flips, bounded_target),
    "frozen_weights": (weights_in_fp32, raise_learning_rate),
}


def advice(reading: Reading, pathology: str) -> tuple[Advice, ...]:
    """Return what to try against a pathology of this run, the best founded first.

    Raises
    ------
    KeyError
        For a pathology that the table does not hold; the message suggests the nearest name.
    """
    if pathology not in REMEDIES:
        near = get_close_matches(pathology, REMEDIES, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise KeyError(f"there is no advice on a pathology called {pathology!r}{hint}")
    found = (remedy(reading) for remedy in REMEDIES[pathology])
    # Two remedies may come to the same change, as the learning rate by curvature and by search.
    by_action = {one.action: one for one in found if one is not None}
    return tuple(by_action.values())
