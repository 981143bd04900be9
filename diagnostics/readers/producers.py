"""What each framework logs as rewards and log-probs, by version, trainer and loss: facts as data.

Read in the sources of the frameworks at their release tags. Notation: for a completion of n
tokens S is the summed and A = S/n the mean log-prob, Delta = S - S_ref, delta = A - A_ref.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from diagnostics.meaning import Base, Scope

TRL = "TRL"
LLAMA_FACTORY = "LLaMA-Factory"
# The opt-in rewrite, whose log has the same file name and other contents.
LLAMA_FACTORY_V1 = "LLaMA-Factory v1"
SWIFT = "ms-swift"
OPENRLHF = "OpenRLHF"
EM = "eric-mitchell/direct-preference-optimization"
HALOS = "HALOs"
TORCHTUNE = "torchtune"
SIMPO = "princeton-nlp/SimPO"
ORPO = "xfactlab/orpo"
# All of these write TRL's keys; often nothing in a log tells them apart.
TRL_KEYS = (TRL, LLAMA_FACTORY, SWIFT, SIMPO)

# "other": neither S nor A (padding counted in, the reference added, ...).
Logps = Literal["sum", "per_token", "other", "absent"]
Version = tuple[int, ...]


def version(text: str) -> Version:
    """Return a version as numbers, as far as they go.

    Examples
    --------
    >>> version("0.12.0.dev0") < version("0.29") < version("1.16.0")
    True
    """
    parts: list[int] = []
    for part in text.strip().lstrip("v").split("."):
        if not part.isdecimal() or len(part) > 6:
            break
        parts.append(int(part))
    return tuple(parts)


@dataclass(frozen=True)
class Versions:
    """The versions that a log can be of: at least `since`, below `until`; None where unbounded."""

    since: Version | None = None
    until: Version | None = None

    def meets(self, other: Versions) -> bool:
        """Say whether some version lies in both."""
        highest_start = max(self.since or (), other.since or ())
        ends = [end for end in (self.until, other.until) if end is not None]
        return not ends or highest_start < min(ends)

    @property
    def text(self) -> str | None:
        """The bounds in words, None where there are none."""
        since = ".".join(map(str, self.since or ()))
        until = ".".join(map(str, self.until or ()))
        if self.since and self.until == (*self.since[:-1], self.since[-1] + 1):
            return since
        words = (f"{since} or later" if since else "", f"before {until}" if until else "")
        return ", ".join(filter(None, words)) or None


ANY_VERSION = Versions()


@dataclass(frozen=True)
class Row:
    """What one trainer logs: `rewards/chosen` is `base`, times beta where `beta`.

    `losses` are the loss types that the row holds for, "" for those that no other row names.
    `weighted` rewards are multiplied by the sum of the weights of several losses; `several` says
    whether the row is of such a run, None where it makes no difference.
    """

    framework: str
    trainer: str
    base: Base
    logps: Logps
    beta: bool = True
    losses: tuple[str, ...] = ("",)
    versions: Versions = ANY_VERSION
    several: bool | None = None
    weighted: bool = False


_REFACTORED = (0, 29)  # TRL's DPO trainer was rewritten
_LISTS = (0, 20)  # TRL takes a list of losses
_BEFORE, _SINCE = Versions(until=_REFACTORED), Versions(since=_REFACTORED)
_SUM, _MEAN = Base.LOGRATIO_SUM, Base.LOGRATIO_MEAN
_LOGPS_SUM, _LOGPS_MEAN = Base.LOGPS_SUM, Base.LOGPS_MEAN


def _dpo_of_trl(framework: str) -> tuple[Row, ...]:
    """Return the rows of TRL's DPO trainer before the rewrite, which ms-swift copied."""
    lists = Versions(_LISTS, _REFACTORED) if framework == TRL else ANY_VERSION
    before = _BEFORE if framework == TRL else ANY_VERSION
    means = Versions((0, 7, 11), _REFACTORED) if framework == TRL else ANY_VERSION
    return (
        Row(framework, "dpo", _SUM, "sum", several=False, versions=before),
        Row(framework, "dpo", _MEAN, "per_token", losses=("ipo",), several=False, versions=means),
        Row(framework, "dpo", _SUM, "sum", several=True, weighted=True, versions=lists),
        Row(
            framework,
            "dpo",
            _MEAN,
            "per_token",
            losses=("ipo",),
            several=True,
            weighted=True,
            versions=lists,
        ),
    )


def _others_of_trl(framework: str) -> tuple[Row, ...]:
    return (
        Row(framework, "kto", _SUM, "sum"),
        Row(framework, "orpo", _LOGPS_MEAN, "per_token"),
        Row(framework, "cpo", _LOGPS_SUM, "sum"),
        Row(framework, "cpo", _LOGPS_MEAN, "per_token", losses=("simpo", "ipo")),
    )


ROWS: tuple[Row, ...] = (
    *_dpo_of_trl(TRL),
    Row(TRL, "dpo", _SUM, "sum", losses=("ipo",), versions=Versions(until=(0, 7, 11))),
    Row(TRL, "dpo", _SUM, "sum", losses=("", "ipo"), versions=_SINCE),
    *_others_of_trl(TRL),
    Row(TRL, "cpo", Base.OTHER, "per_token", losses=("alphapo",)),
    Row(TRL, "bco", _SUM, "sum"),
    Row(TRL, "tpo", _LOGPS_SUM, "sum"),
    Row(TRL, "tpo", _LOGPS_MEAN, "per_token", losses=("ipo", "tpo-l")),
    Row(TRL, "online_dpo", _SUM, "sum"),
    Row(TRL, "xpo", _SUM, "other"),
    Row(TRL, "nash_md", Base.OTHER, "other", beta=False),
    Row(LLAMA_FACTORY, "dpo", _SUM, "sum"),
    Row(LLAMA_FACTORY, "dpo", _MEAN, "per_token", losses=("ipo",)),
    Row(LLAMA_FACTORY, "orpo", _LOGPS_MEAN, "per_token"),
    Row(LLAMA_FACTORY, "cpo", _LOGPS_MEAN, "per_token", losses=("simpo",)),
    Row(LLAMA_FACTORY, "kto", _SUM, "sum"),
    Row(LLAMA_FACTORY_V1, "dpo", _SUM, "sum"),
    Row(LLAMA_FACTORY_V1, "orpo", _LOGPS_MEAN, "sum"),
    Row(LLAMA_FACTORY_V1, "cpo", _LOGPS_MEAN, "sum", losses=("simpo",)),
    *_dpo_of_trl(SWIFT),
    *_others_of_trl(SWIFT),
    Row(OPENRLHF, "dpo", _SUM, "absent", losses=("", "ipo")),
    Row(OPENRLHF, "kto", _SUM, "absent"),
    Row(EM, "dpo", _SUM, "sum", losses=("", "ipo")),
    Row(HALOS, "dpo", _SUM, "other"),
    Row(HALOS, "dpo", _MEAN, "other", losses=("ipo",), beta=False),
    Row(HALOS, "kto", _SUM, "absent", beta=False),
    Row(HALOS, "cpo", _LOGPS_MEAN, "other", losses=("simpo",), beta=False),
    Row(HALOS, "cpo", _LOGPS_SUM, "other", losses=("slic",), beta=False),
    Row(TORCHTUNE, "dpo", _SUM, "sum"),
    Row(SIMPO, "cpo", _LOGPS_MEAN, "per_token", losses=("simpo",)),
    Row(ORPO, "orpo", _LOGPS_MEAN, "per_token"),
)


def rows_for(
    frameworks: Iterable[str],
    trainer: str | None,
    losses: tuple[str, ...] | None,
    versions: Versions,
) -> list[Row]:
    """Return every row that a log can be of; `trainer` and `losses` are None where unknown."""
    wanted = set(frameworks)
    mine = [row for row in ROWS if row.framework in wanted and trainer in (None, row.trainer)]
    mine = [row for row in mine if row.framework != TRL or row.versions.meets(versions)]
    if losses is None:
        return mine
    named = {loss for row in mine for loss in row.losses}
    # One loss that has a row of its own decides the row of a list of losses.
    key = next((loss for loss in losses if loss in named), "")
    several = len(losses) > 1
    return [row for row in mine if key in row.losses and row.several in (None, several)]


_RANK_0 = Scope.WINDOW_RANK_0
# What one reward averages over, by framework and version; the first that must apply does.
SCOPES: tuple[tuple[str, str | None, Versions, Scope], ...] = (
    (TRL, "dpo", Versions(until=(0, 14)), _RANK_0),
    (TRL, "orpo", Versions(until=(0, 14)), _RANK_0),
    (TRL, "cpo", Versions(until=(0, 14)), _RANK_0),
    (TRL, None, Versions(since=(0, 14)), Scope.WINDOW),
    (TRL, "kto", ANY_VERSION, Scope.WINDOW),
    (LLAMA_FACTORY, "kto", ANY_VERSION, Scope.WINDOW),
    (LLAMA_FACTORY, None, Versions(until=(0, 9, 1)), _RANK_0),
    (LLAMA_FACTORY, None, Versions(since=(0, 9, 1)), Scope.WINDOW),
    (LLAMA_FACTORY_V1, None, ANY_VERSION, Scope.LAST_MICRO_BATCH),
    (OPENRLHF, None, ANY_VERSION, Scope.LAST_MICRO_BATCH),
    (EM, None, ANY_VERSION, Scope.LAST_BATCH),
    (HALOS, None, ANY_VERSION, Scope.WINDOW),
    (SIMPO, None, ANY_VERSION, _RANK_0),
    (ORPO, None, ANY_VERSION, Scope.LAST_MICRO_BATCH),
)


def scope_of(framework: str | None, trainer: str | None, versions: Versions) -> Scope:
    """Return what one logged reward averages over, UNKNOWN where the log does not settle it."""
    for name, kind, bounds, scope in SCOPES:
        if name != framework or kind not in (None, trainer) or not bounds.meets(versions):
            continue
        outside = Versions(until=bounds.since), Versions(since=bounds.until)
        can_be_outside = (bounds.since is not None and outside[0].meets(versions)) or (
            bounds.until is not None and outside[1].meets(versions)
        )
        return Scope.UNKNOWN if can_be_outside else scope
    return Scope.UNKNOWN
