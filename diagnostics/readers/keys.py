"""From the keys of one logged row to records: which of them are train, eval or final values."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from diagnostics.readers.numbers import number

Kind = Literal["train", "eval", "final"]


class Record(NamedTuple):
    """One logged row under the framework's own keys, without "train/" or "eval_".

    `step` is the optimizer step, None where the log has none; `inferred_step` says that it was
    worked out from something else. `split` names the evaluation set where there are several.
    """

    step: int | None
    kind: Kind
    values: Mapping[str, Any]
    time: float | None = None
    epoch: float | None = None
    inferred_step: bool = False
    split: str | None = None


# Under which names the step is logged, the trainers' own before the trackers'. EM and HALOs count
# examples; ms-swift writes "10/176".
STEP_KEYS = (
    "step",
    "train/global_step",
    "trainer/global_step",
    "global_step",
    "current_steps",
    "global_step/max_steps",
    "iteration",
    "counters/examples",
    "train/step",
)
# A row with one of these sums up the whole run (Trainer's last call of `log`).
FINAL_KEYS = frozenset(("train_runtime", "train_samples_per_second", "total_flos", "log_history"))
# Loss terms, whose names look like "<evaluation set>_loss".
LOSS_TERMS = frozenset(("nll", "sft", "odds_ratio", "aux", "preference", "kto", "mean", "train"))

_PREFIX = re.compile(r"(train)/(?=.)|(eval)[/_](?=.)")
_FAMILY = re.compile(r"(rewards|logps|logits)_(train|eval)/(.+)$")


@functools.lru_cache(maxsize=4096)
def place(key: str) -> tuple[Kind | None, str]:
    """Return which rows a key belongs to, None where it does not say, and its bare name.

    Examples
    --------
    >>> place("eval_rewards/chosen"), place("train/eval/kl"), place("rewards_train/chosen")
    (('eval', 'rewards/chosen'), ('eval', 'kl'), ('train', 'rewards/chosen'))
    >>> place("loss/eval"), place("logps/chosen"), place("train_runtime")
    (('eval', 'loss'), (None, 'logps/chosen'), ('final', 'train_runtime'))
    """
    if key in ("loss/train", "train_loss"):
        return "train", "loss"
    if key == "loss/eval":
        return "eval", "loss"
    family = _FAMILY.match(key)
    if family is not None:
        return _kind(family[2]), f"{family[1]}/{family[3]}"
    found: Kind | None = None
    # TRL's KTO 0.8.2 to 0.8.6 wrote "train/rewards/chosen", and trackers put "train/" before it;
    # OpenRLHF writes "eval/eval_loss".
    for _ in range(2):
        prefix = _PREFIX.match(key)
        if prefix is None:
            break
        found, key = _kind(prefix[1] or prefix[2]), key[prefix.end() :]
    if found != "eval" and key in FINAL_KEYS:
        return "final", key
    return found, "loss" if key == "train_loss" else key


def _kind(word: str) -> Kind:
    return "eval" if word == "eval" else "train"


class _Part(NamedTuple):
    """Which keys of a row make one record, and what they are called there.

    `is_whole` says that the record is the row as it stands.
    """

    kind: Kind
    names: tuple[str, ...]
    keys: tuple[str, ...]
    split: str | None
    is_whole: bool = False


def records_of(row: Mapping[str, Any], **known: Any) -> list[Record]:
    """Return the records of one flat row of any trainer of the transformers family.

    A row may hold train and eval values at once (a tracker's); names without a prefix belong to
    the eval record where all others do. `known` overrides the fields of `Record`.
    """
    parts, step_keys, epoch_key = _layout(tuple(row))
    step = step_of(row) if step_keys else None
    epoch = None if epoch_key is None else row[epoch_key]
    if epoch_key is not None and type(epoch) is not float:
        epoch = number(epoch)
    if len(parts) == 1 and parts[0].is_whole and not known:
        return [Record(step, parts[0][0], row, None, epoch, False, parts[0][3])]
    found = []
    for kind, names, keys, split, is_whole in parts:
        values = row if is_whole else dict(zip(names, [row[key] for key in keys], strict=True))
        record = Record(step, kind, values, None, epoch, False, split)
        found.append(record._replace(**known) if known else record)
    return found


@functools.lru_cache(maxsize=1024)
def _layout(keys: tuple[Any, ...]) -> tuple[tuple[_Part, ...], bool, str | None]:
    """Return the records that rows of these keys make, whether they state a step, and the epoch.

    Rows of one log have a few sets of keys, so this is worked out once for each.
    """
    parts: dict[Kind | None, dict[str, str]] = {}
    for key in keys:
        if isinstance(key, str) and key not in STEP_KEYS:
            kind, bare = place(key)
            parts.setdefault(kind, {})[bare] = key
    if "eval" in parts and set(parts.get("train", {})) == {"epoch"}:
        # Trackers get the epoch of an eval row as "train/epoch".
        parts["eval"].update(parts.pop("train"))
    loose = parts.pop(None, {})
    every = {name: key for names in (*parts.values(), loose) for name, key in names.items()}
    steps = any(key in STEP_KEYS for key in keys)
    found = [
        part._replace(is_whole=part.names == part.keys and len(part.keys) == len(keys))
        for part in _parts(parts, loose)
    ]
    return tuple(found), steps, every.get("epoch")


def _parts(parts: dict[Kind | None, dict[str, str]], loose: dict[str, str]) -> Iterator[_Part]:
    """Yield the records of keys that say what they belong to, and of `loose` ones that do not."""
    if "final" in parts:
        names = loose | parts.get("train", {}) | parts["final"]
        yield _Part("final", tuple(names), tuple(names.values()), None)
        return
    only_eval = "eval" in parts and "train" not in parts and "loss" not in loose
    home: Kind = "eval" if only_eval else "train"
    shared = {"epoch", "learning_rate"} if home == "train" and "train" not in parts else set()
    if home == "eval" and "kl" in loose:
        # LLaMA-Factory's KTO: a sum over the evaluation, under the name of the train value.
        loose["kl of eval under its train key"] = loose.pop("kl")
    if set(loose) - shared or not parts:
        parts[home] = loose | parts.get(home, {})
    for kind, names in parts.items():
        split = None
        if kind == "eval" and "loss" not in names:
            split, names = split_of(names)
        if kind is not None and names:
            yield _Part(kind, tuple(names), tuple(names.values()), split)


def split_of(values: dict[str, str]) -> tuple[str | None, dict[str, str]]:
    """Return the evaluation set that an eval row is of, and the row without that name.

    With several sets the loss and the run time carry the set's name and the rewards do not.
    """
    for key in values:
        name = key.removesuffix("_loss")
        if name != key and name not in LOSS_TERMS and "/" not in name:
            own = f"{name}_"
            return name, {key.removeprefix(own): value for key, value in values.items()}
    return None, values


def step_of(row: Mapping[str, Any]) -> int | None:
    """Return the step that a row states; "10/176" is step 10 of 176."""
    for key in STEP_KEYS:
        if key in row:
            value = row[key]
            if isinstance(value, str) and "/" in value:
                value = value.partition("/")[0]
            found = number(value)
            if found is not None and 0 <= found < 2**53:
                return round(found)
    return None
