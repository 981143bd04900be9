"""The settings of the preference methods: defaults, meaning, and what TRL and LLaMA-Factory say.

Where methods give one setting different meanings or defaults, each meaning is a constant here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hyperparameter:
    """One setting of a method; `trl` and `llamafactory` are its names there, None if absent.

    `usual` says in words which values are in use, and by whom; empty where nothing is published.
    """

    name: str
    default: float | str
    symbol: str
    meaning: str
    trl: str | None
    llamafactory: str | None
    usual: str = ""


def _beta(
    meaning: str, default: float = 0.1, symbol: str = "beta", usual: str = ""
) -> Hyperparameter:
    return Hyperparameter("beta", default, symbol, meaning, "beta", "pref_beta", usual)


BETA = _beta(
    "Strength of the pull towards the reference, and the scale of the reward.",
    usual="0.01 to 0.5 (searched in arXiv 2405.14734 and 2402.01306)",
)
TAU = _beta("Strength of the regularisation: the target gap is 1/(2 tau).", symbol="tau")
HINGE_BETA = _beta("Reciprocal of the margin that satisfies a pair.")
SPPO_BETA = _beta("Sets the logratios' targets, +-1/(2 beta).")
SCALE = _beta("Scale of the reward.")
SIGMOID_NORM_BETA = _beta(
    "Scale of the per-token logratios; TRL's default is 0.1, the paper's is 5.", 5.0
)
SIMPO_BETA = _beta(
    "Scale of the per-token reward, 2 to 10; TRL and LLaMA-Factory say 0.1.",
    2.0,
    usual="2 to 10 (the authors' released settings)",
)
LAMBDA = _beta(
    "Weight of the odds term, and the scale of the reward.",
    symbol="lambda",
    usual="0.1 to 0.5: at 0.1 rejected does not fall, at 1 both fall (arXiv 2403.07691, app. E)",
)
REWARD_SCALE = _beta("Scale of the logged reward only.", 1.0)

# The authors' code sets the ratio; TRL, LLaMA-Factory and ms-swift set gamma itself.
GAMMA = Hyperparameter(
    "gamma",
    0.5,
    "gamma",
    "Target margin of the rewards. The authors' code sets gamma_beta_ratio = gamma/beta instead: "
    "ratio 0.25 at beta 2 is gamma 0.5.",
    "simpo_gamma",
    "simpo_gamma",
    "beta times 0.1 to 0.8 (the authors' released settings)",
)
DISCOPOP_TAU = Hyperparameter(
    "discopop_tau", 0.05, "tau", "Blend temperature, in (0, 1].", "discopop_tau", None
)
_BALANCE = "lambda_D n_D / (lambda_U n_U) between 1 and 3/2 (arXiv 2402.01306, eq. 9)"
DESIRABLE_WEIGHT = Hyperparameter(
    "desirable_weight",
    1.0,
    "lambda_D",
    "Weight of desirable examples.",
    "desirable_weight",
    "kto_chosen_weight",
    _BALANCE,
)
UNDESIRABLE_WEIGHT = Hyperparameter(
    "undesirable_weight",
    1.0,
    "lambda_U",
    "Weight of undesirable examples.",
    "undesirable_weight",
    "kto_rejected_weight",
    _BALANCE,
)


def _smoothing(
    default: float,
    meaning: str,
    trl: str | None = "label_smoothing",
    llamafactory: str | None = None,
) -> Hyperparameter:
    return Hyperparameter("label_smoothing", default, "epsilon", meaning, trl, llamafactory)


_FLIPPED = "Assumed share of flipped labels, in [0, 0.5)"
SMOOTHING = _smoothing(0.0, f"{_FLIPPED}.")
DPO_SMOOTHING = _smoothing(
    0.0,
    f"{_FLIPPED}: above 0 this is conservative DPO. TRL from 0.29 ignores it for DPO.",
    trl=None,
    llamafactory="dpo_label_smoothing",
)
ROBUST_SMOOTHING = _smoothing(0.1, f"{_FLIPPED}; at 0, TRL's default, this is DPO.")
EXO_SMOOTHING = _smoothing(1e-3, "Probability left to the rejected side, in (0, 0.5).")


_ADDED = "0.2 to 2 (arXiv 2407.21783, 2404.19733); the run says at step 0 which window is safe"


def sft(
    default: float = 0.0,
    trl: str | None = '"sft" in loss_type, with loss_weights',
    note: str = "",
) -> tuple[Hyperparameter, Hyperparameter]:
    """Return the two settings of the SFT term, which can be added to every loss."""
    meaning = "Weight of the chosen completion's mean negative log-likelihood." + note
    reduction = (
        '"token": mean over all chosen tokens of the batch (TRL); "sequence": mean over each '
        "completion, then over completions (LLaMA-Factory)."
    )
    usual = _ADDED if default == 0 else ""
    return (
        Hyperparameter("sft_weight", default, "g", meaning, trl, "pref_ftx", usual),
        Hyperparameter("sft_reduction", "token", "", reduction, None, None),
    )
