"""What an experiment of the casebook is: the record types of the family.

An experiment states, before anything is trained, what each arm changes, which regime its
published cause should give, and which differences between the arms should be seen. The arms are
then trained on several seeds, and each expectation is held against every seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.language import Setting

# What one run measured, by name; an arm's numbers, by arm.
Numbers = Mapping[str, float | None]
Arms = Mapping[str, Numbers]
# The arm name under which `derive` puts what follows from several arms together.
ACROSS = "across arms"

# Shared by all arms. Constant settings make the arms of an experiment differ in one thing only.
TRAINING: dict[str, Any] = {
    "method": "dpo",
    "learning_rate": 1e-4,
    "per_device_train_batch_size": 8,
    "max_steps": 48,
    "eval_steps": 6,
    "save_steps": 0,
    "save_model": False,
    "log_pairs": False,
    "held_out": 0.05,
    "probe_pairs": 48,
    "probe_samples": 1,
    "probe_sample_tokens": 48,
    # Looking into a policy costs as much as training it: only where an experiment asks for it.
    "probe_entanglement_pairs": 0,
    "probe_token_pairs": 0,
    "probe_family_prompts": 0,
    "probe_virtual_steps": 0,
}


@dataclass(frozen=True)
class Policy:
    """The policy that an arm starts from: a tiny model warmed up on a corpus, then perhaps SFT.

    Parameters
    ----------
    corpus
        The setting whose warm-up corpus it learns.
    sft
        The side of the arm's own pairs that it is fine-tuned on before: "chosen", "rejected".
    epochs
        Passes of that fine-tuning over the pairs.
    """

    corpus: Setting
    sft: str | None = None
    epochs: int = 0


@dataclass(frozen=True)
class Remedy:
    """A remedy under test: what it should cure, and how strong its published evidence is.

    `strength` is "A" (several studies, or a theorem and an experiment) or "B" (one careful
    study); `symptom` the regime or pathology that arm `of` should show and this arm should not.
    """

    of: str
    symptom: str
    action: str
    strength: str
    source: str


@dataclass(frozen=True)
class Arm:
    """One way to train: what it changes, and what the published cause says it will give.

    Parameters
    ----------
    name, change
        What it is called, and what differs from the experiment's first arm.
    setting
        The preference pairs.
    policy
        What the training starts from.
    training
        Settings that differ from `TRAINING`.
    regime
        The regime of the finished run that the published cause gives; None where none is claimed.
    rejected
        Where the rejected side comes from: the "setting", samples of the "policy" itself, or
        "random" words.
    labels
        None trains on pairs; (n, m) on single completions, n chosen for every m rejected.
    remedy
        What this arm is to cure, where it is a remedy.
    follow
        Whether the advice of A or B strength that the diagnosis of its runs gives is followed:
        each is trained as a run of its own.
    """

    name: str
    change: str
    setting: Setting
    policy: Policy
    training: Mapping[str, Any] = field(default_factory=dict)
    regime: str | None = None
    rejected: str = "setting"
    labels: tuple[int, int] | None = None
    remedy: Remedy | None = None
    follow: bool = False


@dataclass(frozen=True)
class Expectation:
    """A difference that should be seen on every seed.

    `left` is (arm, quantity), `relation` one of "<", ">", "is", and `right` another
    (arm, quantity), a number or a word.
    """

    claim: str
    left: tuple[str, str]
    relation: str
    right: tuple[str, str] | float | str


@dataclass(frozen=True)
class Experiment:
    """One claim or pathology as trainings: the arms, and what should be seen.

    Parameters
    ----------
    name
        Its number in the casebook: E1, E2, …
    title, claim
        What is asked, and what is claimed by whom.
    arms, expectations
        What is trained, and what should come out.
    samples
        Whether the trained policies are sampled, for the true reward and length of what they write.
    derive
        Makes numbers out of all arms of one seed.
    kept
        Numbers of each run that `derive` needs, for the record to keep beside the others.
    """

    name: str
    title: str
    claim: str
    arms: tuple[Arm, ...]
    expectations: tuple[Expectation, ...]
    samples: bool = False
    derive: Callable[[Arms], dict[str, float | None]] | None = None
    kept: tuple[str, ...] = ()

    def arm(self, name: str) -> Arm:
        """Return the arm of that name."""
        return next(arm for arm in self.arms if arm.name == name)


def holds(expectation: Expectation, arms: Mapping[str, Mapping[str, Any]]) -> bool | None:
    """Say whether an expectation holds among the arms of one seed; None without its numbers.

    Examples
    --------
    >>> higher = Expectation("a ends above b", ("a", "chosen"), ">", ("b", "chosen"))
    >>> holds(higher, {"a": {"chosen": 0.2}, "b": {"chosen": -0.1}})
    True
    >>> holds(higher, {"a": {"chosen": 0.2}, "b": {}}) is None
    True
    """
    left = _value(expectation.left, arms)
    right = expectation.right
    if isinstance(right, tuple):
        right = _value(right, arms)
    if left is None or right is None:
        return None
    relations: dict[str, Callable[[Any, Any], bool]] = {
        "<": lambda one, other: one < other,
        ">": lambda one, other: one > other,
        "is": lambda one, other: one == other,
    }
    return bool(relations[expectation.relation](left, right))


def _value(place: tuple[str, str], arms: Mapping[str, Mapping[str, Any]]) -> Any:
    arm, quantity = place
    return arms.get(arm, {}).get(quantity)
