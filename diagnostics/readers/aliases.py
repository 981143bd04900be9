"""What people call the columns of home-made logs, and which schema name each of them is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from diagnostics.errors import ReadError
from diagnostics.schema import METRICS

STEP, TIME, KIND, RUN = "step", "time", "kind", "run"
# Names of a table's own: where a row belongs, and not what was measured.
PLACES = (STEP, TIME, KIND, RUN)

# Words that say nothing about which quantity it is.
_FILLERS = frozenset(
    ("mean", "avg", "average", "policy", "model", "metrics", "log", "value", "dpo")
)
_SINGULAR = {
    "rewards": "reward",
    "margins": "margin",
    "accuracies": "accuracy",
    "acc": "accuracy",
    "accs": "accuracy",
    "logps": "logp",
    "logprob": "logp",
    "logprobs": "logp",
    "reference": "ref",
    "preferred": "chosen",
    "dispreferred": "rejected",
    "reject": "rejected",
    "choose": "chosen",
    "win": "chosen",
    "lose": "rejected",
    "preference": "pref",
    "steps": "step",
    "iteration": "step",
    "iterations": "step",
    "iter": "step",
    "lr": "learning_rate",
}
# Words in any order, by schema name: {"chosen", "reward"} is chosen_reward and reward/chosen.
_BAGS: Mapping[frozenset[str], str] = {
    frozenset(words.split()): name
    for name, spellings in {
        "rewards/chosen": ("chosen reward", "chosen"),
        "rewards/rejected": ("rejected reward", "rejected"),
        "rewards/margins": ("margin", "reward margin", "pref margin", "chosen rejected margin"),
        "rewards/accuracies": ("accuracy", "reward accuracy", "pref accuracy"),
        "logps/chosen": ("chosen logp",),
        "logps/rejected": ("rejected logp",),
        "ref_logps/chosen": ("chosen ref logp",),
        "ref_logps/rejected": ("rejected ref logp",),
        "logps_per_token/chosen": ("chosen logp per token",),
        "logps_per_token/rejected": ("rejected logp per token",),
        "completion_tokens/chosen": ("chosen length", "chosen tokens", "chosen len"),
        "completion_tokens/rejected": ("rejected length", "rejected tokens", "rejected len"),
        "loss": ("loss",),
        "kl": ("kl",),
        "grad_norm": ("grad norm", "gradient norm"),
        "learning_rate": ("learning_rate", "learning rate"),
        "epoch": ("epoch",),
        STEP: ("step", "global step", "train step", "update", "updates", "global_step"),
        TIME: ("time", "wall time", "timestamp", "walltime"),
        KIND: ("split", "kind", "phase", "mode"),
        RUN: ("run", "run name", "run id", "experiment"),
    }.items()
    for words in spellings
}
_EVAL_WORDS = frozenset(("eval", "val", "valid", "validation", "test", "evaluation"))
_TRAIN_WORDS = frozenset(("train", "training"))

# What a user may write before "=" in --map, beside the schema's names.
SHORT = {
    "chosen": "rewards/chosen",
    "rejected": "rewards/rejected",
    "margin": "rewards/margins",
    "margins": "rewards/margins",
    "accuracy": "rewards/accuracies",
    "logps_chosen": "logps/chosen",
    "logps_rejected": "logps/rejected",
    "ref_logps_chosen": "ref_logps/chosen",
    "ref_logps_rejected": "ref_logps/rejected",
}


@lru_cache(maxsize=4096)
def alias(name: str) -> str | None:
    """Return the schema name (maybe behind "eval_") or the place that a column name means.

    Examples
    --------
    >>> alias("Chosen Reward"), alias("eval/mean_reward_rejected"), alias("chosen_ref_logp")
    ('rewards/chosen', 'eval_rewards/rejected', 'ref_logps/chosen')
    >>> alias("temperature") is None
    True
    """
    if name in METRICS:
        return name
    if len(name) > 100:
        return None
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = [_SINGULAR.get(word, word) for word in re.split(r"[^a-z0-9]+", spaced) if word]
    bag = frozenset(words) - _FILLERS
    prefix = "eval_" if bag & _EVAL_WORDS else ""
    found = _BAGS.get(bag - _EVAL_WORDS - _TRAIN_WORDS)
    if found is None or (prefix and found in PLACES and found != STEP):
        return None
    return found if found in PLACES else prefix + found


def proposed(names: Iterable[str]) -> dict[str, str]:
    """Return what the columns of a table mean, by their own names; the first of several counts.

    Examples
    --------
    >>> proposed(["step", "reward_chosen", "reward_rejected", "chosen", "note"])
    {'step': 'step', 'reward_chosen': 'rewards/chosen', 'reward_rejected': 'rewards/rejected'}
    """
    names = list(names)
    meant = {name: found for name in names if (found := alias(name))}
    # A column called "chosen" may be a text or a log-prob where another one is named in full.
    order = sorted(meant, key=lambda name: (len(re.split(r"[^A-Za-z0-9]+", name)) < 2, 0))
    kept: dict[str, str] = {}
    for name in order:
        if meant[name] not in kept.values():
            kept[name] = meant[name]
    return {name: kept[name] for name in names if name in kept}


def has_both_sides(mapping: Mapping[str, str]) -> bool:
    """Say whether a mapping holds chosen and rejected of one quantity.

    Examples
    --------
    >>> has_both_sides({"a": "rewards/chosen", "b": "rewards/rejected"})
    True
    >>> has_both_sides({"a": "rewards/chosen", "b": "logps/rejected"})
    False
    """
    meant = set(mapping.values())
    return any(
        {f"{prefix}{kind}/chosen", f"{prefix}{kind}/rejected"} <= meant
        for prefix in ("", "eval_")
        for kind in ("rewards", "logps", "logps_per_token")
    )


def mapping_of(assignments: Iterable[str]) -> dict[str, str]:
    """Return the column mapping of `--map` arguments by column.

    An argument is NAME=COLUMN, or COLUMN=NAME where only the second is a metric's name.

    Raises
    ------
    ReadError
        When one has no "=", or names no metric.

    Examples
    --------
    >>> mapping_of(["chosen=my_col", "eval_loss=valid", "b=rewards/rejected"])
    {'my_col': 'rewards/chosen', 'valid': 'eval_loss', 'b': 'rewards/rejected'}
    """
    found: dict[str, str] = {}
    for text in assignments:
        name, equals, column = text.partition("=")
        name, column = name.strip(), column.strip()
        if not _known(name):
            reversed_column, _, reversed_name = text.rpartition("=")
            if _known(reversed_name.strip()):
                name, column = reversed_name.strip(), reversed_column.strip()
        bare = name.removeprefix("eval_")
        known = SHORT.get(bare, bare)
        if not equals or not column:
            raise ReadError(
                f"--map {text}: has no column name, expected NAME=COLUMN;"
                " write for example --map chosen=my_column"
            )
        if not _known(name):
            near = difflib.get_close_matches(bare, [*SHORT, *METRICS, *PLACES], n=1)
            hint = f"did you mean {near[0]!r}?" if near else "for example chosen=my_column"
            raise ReadError(f"--map {text}: {name!r} is no metric, expected a schema name; {hint}")
        found[column] = f"eval_{known}" if name != bare and known in METRICS else known
    return found


def _known(name: str) -> bool:
    bare = name.removeprefix("eval_")
    return SHORT.get(bare, bare) in METRICS or bare in PLACES
