"""The metric schema: one name, one quantity, with its unit and definition.

Canonical names follow TRL where TRL is unambiguous. Every axis, table head and tooltip takes
its label and unit from here; a reader that meets another name for one of these quantities
renames it, and keeps what it cannot name.

Notation: y_w chosen, y_l rejected completion; z = log pi(y|x) summed over the n scored tokens of
the completion (end-of-turn included), in nats; Delta = z - z at the start of the run.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One logged quantity.

    `unit` is a plain phrase that can stand behind a number; `definition` is one sentence.
    """

    name: str
    label: str
    unit: str
    definition: str


REWARD_UNIT = "reward units"
NATS = "nats per completion"
NATS_PER_TOKEN = "nats per token"


def _sides(name: str, label: str, unit: str, definition: str) -> tuple[Metric, Metric]:
    """Return the chosen and the rejected form of a quantity; `{side}` is filled in."""
    chosen, rejected = (
        Metric(f"{name}/{side}", label.format(side=side), unit, definition.format(side=side))
        for side in ("chosen", "rejected")
    )
    return chosen, rejected


_ALL = (
    Metric("loss", "Loss", "loss units", "Mean training loss of the window, all terms included."),
    *_sides(
        "rewards",
        "Reward, {side}",
        REWARD_UNIT,
        "Mean implicit reward of the {side} completions, as the method defines it.",
    ),
    Metric(
        "rewards/margins",
        "Reward margin",
        REWARD_UNIT,
        "Mean of chosen reward minus rejected reward over pairs.",
    ),
    Metric(
        "rewards/accuracies",
        "Reward accuracy",
        "fraction of pairs",
        "Share of pairs whose chosen reward is strictly greater than the rejected reward.",
    ),
    *_sides(
        "logps",
        "Log-prob, {side}",
        NATS,
        "Mean over {side} completions of the log-probability summed over the completion.",
    ),
    *_sides(
        "logps_per_token",
        "Log-prob per token, {side}",
        NATS_PER_TOKEN,
        "Mean over {side} completions of the log-probability divided by the completion's tokens.",
    ),
    *_sides(
        "ref_logps",
        "Reference log-prob, {side}",
        NATS,
        "As logps/{side}, under the frozen reference model.",
    ),
    *_sides(
        "completion_tokens",
        "Length, {side}",
        "tokens",
        "Mean number of scored tokens of the {side} completions.",
    ),
    *_sides(
        "entropy",
        "Entropy, {side}",
        NATS_PER_TOKEN,
        "Token mean of the policy's next-token entropy along the {side} completions.",
    ),
    *_sides(
        "top1_rate",
        "Top-1 rate, {side}",
        "fraction of tokens",
        "Share of {side} completion tokens that are the policy's most likely token.",
    ),
    Metric(
        "ranking_accuracies",
        "Ranking accuracy",
        "fraction of pairs",
        "Share of pairs whose summed chosen log-prob exceeds the rejected one (no reference).",
    ),
    Metric(
        "ranking_accuracies_per_token",
        "Ranking accuracy, per token",
        "fraction of pairs",
        "Share of pairs whose per-token chosen log-prob exceeds the rejected one (no reference).",
    ),
    Metric(
        "kl",
        "KTO reference point",
        NATS,
        "KTO's z0: mean log-ratio over mismatched pairs, clamped at 0; not multiplied by beta.",
    ),
    Metric(
        "sft_loss",
        "SFT term",
        NATS_PER_TOKEN,
        "Negative log-likelihood of the chosen completions, before its coefficient.",
    ),
    Metric(
        "log_odds_ratio",
        "Log odds ratio",
        "nats",
        "ORPO: mean of log odds(chosen) minus log odds(rejected), per-token probabilities.",
    ),
    Metric(
        "odds_loss",
        "Odds term",
        "nats",
        "ORPO: mean of -log sigmoid(log odds ratio), before its coefficient; never negative.",
    ),
    Metric(
        "saturated",
        "Saturated pairs",
        "fraction of pairs",
        "Share of pairs whose preference gradient is below a tenth of its size at zero margin.",
    ),
    Metric(
        "entanglement/cosine",
        "Gradient cosine",
        "cosine",
        "Cosine rho of the chosen and the rejected log-prob gradients, both weighted by the loss.",
    ),
    Metric(
        "entanglement/q",
        "Incentive ratio",
        "ratio",
        "q: how hard the loss pulls on a chosen log-prob, divided by how hard on a rejected one.",
    ),
    Metric(
        "entanglement/q_star",
        "Gradient length ratio",
        "ratio",
        "q*: length of the mean rejected log-prob gradient divided by that of the chosen one.",
    ),
    Metric(
        "entanglement/share",
        "First-order share",
        "fraction of margin",
        "S_0: chosen share of the margin that an infinitely small gradient step would add.",
    ),
    Metric(
        "entanglement/slack",
        "Band slack",
        "log ratio",
        "Distance of q from the nearer edge of the band (rho q*, q*/rho); below 0 outside of it.",
    ),
    Metric(
        "curvature",
        "Curvature",
        "fraction of first order",
        "(First order - measured) / |first order| of the chosen log-prob over one real step.",
    ),
    *_sides(
        "first_order",
        "First-order step, {side}",
        NATS,
        "Change of the {side} log-prob that the gradient predicts for one real optimizer step.",
    ),
    *_sides(
        "virtual_step",
        "Measured step, {side}",
        NATS,
        "Change of the {side} log-prob over one real optimizer step, taken on trial and undone.",
    ),
    Metric("grad_norm", "Gradient norm", "L2 norm", "Global gradient norm before clipping."),
    Metric("learning_rate", "Learning rate", "per step", "Learning rate used for the step."),
    Metric("epoch", "Epoch", "passes over the data", "Examples seen divided by the data set size."),
    Metric("tokens", "Tokens", "tokens", "Tokens computed so far, shared prompts counted once."),
    Metric("tokens_per_second", "Token rate", "tokens per second", "Tokens per second of window."),
    Metric(
        "examples_per_second",
        "Example rate",
        "examples per second",
        "Pairs (or unpaired examples) trained per second of the window.",
    ),
    Metric("memory", "Peak memory", "GiB", "Peak memory: allocated on the GPU, resident on a CPU."),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}


def metric(name: str) -> Metric:
    """Return the schema entry of a canonical metric name.

    Raises
    ------
    KeyError
        For a name that the schema does not hold; the message suggests the nearest known one.

    Examples
    --------
    >>> metric("rewards/chosen").unit
    'reward units'
    """
    if name in METRICS:
        return METRICS[name]
    near = difflib.get_close_matches(name, METRICS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise KeyError(f"no metric is called {name!r}{hint}")
