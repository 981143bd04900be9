"""The pathologies, one a file; `PATHOLOGIES` lists them in the order in which they are shown."""

from __future__ import annotations

import re

from diagnostics.pathologies.both_fall import PATHOLOGY as BOTH_FALL
from diagnostics.pathologies.both_rise import PATHOLOGY as BOTH_RISE
from diagnostics.pathologies.contract import HEADINGS, Pathology
from diagnostics.pathologies.drift import PATHOLOGY as DRIFT
from diagnostics.pathologies.flat_run import PATHOLOGY as FLAT_RUN
from diagnostics.pathologies.frozen_weights import PATHOLOGY as FROZEN_WEIGHTS
from diagnostics.pathologies.instability import PATHOLOGY as INSTABILITY
from diagnostics.pathologies.kl_stuck import PATHOLOGY as KL_STUCK
from diagnostics.pathologies.kto_imbalance import PATHOLOGY as KTO_IMBALANCE
from diagnostics.pathologies.label_flips import PATHOLOGY as LABEL_FLIPS
from diagnostics.pathologies.length_exploitation import PATHOLOGY as LENGTH_EXPLOITATION
from diagnostics.pathologies.margin_loss import PATHOLOGY as MARGIN_LOSS
from diagnostics.pathologies.near_duplicates import PATHOLOGY as NEAR_DUPLICATES
from diagnostics.pathologies.off_policy_rejected import PATHOLOGY as OFF_POLICY_REJECTED
from diagnostics.pathologies.ranking_mismatch import PATHOLOGY as RANKING_MISMATCH
from diagnostics.pathologies.reference_mismatch import PATHOLOGY as REFERENCE_MISMATCH
from diagnostics.pathologies.reversed import PATHOLOGY as REVERSED
from diagnostics.pathologies.rise_then_fall import PATHOLOGY as RISE_THEN_FALL
from diagnostics.pathologies.saturation import PATHOLOGY as SATURATION
from diagnostics.pathologies.squeezing import PATHOLOGY as SQUEEZING
from diagnostics.pathologies.surface_cue import PATHOLOGY as SURFACE_CUE
from diagnostics.pathologies.untrusted_numbers import PATHOLOGY as UNTRUSTED_NUMBERS
from diagnostics.regimes import EXPLANATIONS, Regime

__all__ = ["BY_NAME", "EXPLAINED", "PATHOLOGIES", "Pathology", "explanation", "sections"]

PATHOLOGIES: tuple[Pathology, ...] = (
    REVERSED,
    MARGIN_LOSS,
    BOTH_FALL,
    BOTH_RISE,
    RISE_THEN_FALL,
    FLAT_RUN,
    INSTABILITY,
    REFERENCE_MISMATCH,
    UNTRUSTED_NUMBERS,
    SATURATION,
    SURFACE_CUE,
    KTO_IMBALANCE,
    KL_STUCK,
    LENGTH_EXPLOITATION,
    DRIFT,
    SQUEEZING,
    OFF_POLICY_REJECTED,
    RANKING_MISMATCH,
    NEAR_DUPLICATES,
    LABEL_FLIPS,
    FROZEN_WEIGHTS,
)

BY_NAME = {one.name: one for one in PATHOLOGIES}
# A regime is called flat, and the run in it a flat run.
_OTHER_NAMES = {"flat": "flat_run"}
# Everything that `explanation` knows: the pathologies, and the regimes that are none.
EXPLAINED = tuple(dict.fromkeys([*BY_NAME, *(regime.value for regime in Regime)]))


def sections(text: str) -> dict[str, str]:
    """Return {heading: body} of a pathology's text; the body is without blank lines at its ends."""
    parts = re.split(r"^(.+)\n-+\n", text, flags=re.MULTILINE)
    return {head: body.strip() for head, body in zip(parts[1::2], parts[2::2], strict=True)}


def explanation(name: str) -> str:
    """Return the text on a pathology or a regime: flush headings, their bodies indented.

    Raises
    ------
    KeyError
        For a name that is neither.
    """
    known = BY_NAME.get(_OTHER_NAMES.get(name, name))
    if known is None:
        return EXPLANATIONS[Regime(name)] if name in EXPLAINED else _unknown(name)
    bodies = sections(known.text)
    return "".join(f"{head}\n{_indented(bodies[head])}\n" for head in HEADINGS)


def _unknown(name: str) -> str:
    raise KeyError(f"nothing is called {name!r}; known are {', '.join(EXPLAINED)}")


def _indented(body: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in body.splitlines())
