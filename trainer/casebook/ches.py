"""E17: which score orders the pairs by how far their chosen side falls."""

from __future__ import annotations

from trainer.casebook.contract import Arm, Expectation, Experiment
from trainer.casebook.settings import EDITED, FROM_PLAIN, LONG_REJECTED, PLAIN, after_sft

_SCORED = {"probe_entanglement_pairs": 40, "learning_rate": 2e-4, "eval_steps": 24}

EXPERIMENT = Experiment(
    name="E17",
    title="CHES and its exact parent as predictors of each pair's displacement",
    claim="Pairs with a high CHES score lose most chosen log-probability (Razin et al., "
    "arXiv 2410.08847, figure 2).",
    arms=(
        Arm("edited", "near-duplicates", EDITED, FROM_PLAIN, _SCORED),
        Arm("apart", "good against bad style, longer", LONG_REJECTED, FROM_PLAIN, _SCORED),
        Arm(
            "after sft",
            "as before, after two epochs of SFT on chosen",
            LONG_REJECTED,
            after_sft(PLAIN, 2),
            _SCORED,
        ),
    ),
    expectations=tuple(
        expectation
        for arm in ("edited", "apart", "after sft")
        for expectation in (
            Expectation(
                f"{arm}: pairs with a higher CHES score lose more chosen log-probability",
                (arm, "rank/ches"),
                ">",
                0.0,
            ),
            Expectation(
                f"{arm}: so do pairs with a higher exact score of the output matrix",
                (arm, "rank/head_exact"),
                ">",
                0.0,
            ),
            Expectation(
                f"{arm}: the exact score orders them better than CHES",
                (arm, "rank/head_exact"),
                ">",
                (arm, "rank/ches"),
            ),
        )
    ),
)
