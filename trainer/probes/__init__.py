"""Probes: fixed texts that every evaluation scores again, one probe a file."""

from trainer.probes import (
    entanglement,
    families,
    fixed_pairs,
    reference_samples,
    tokens,
    virtual_step,
)
from trainer.probes.contract import Probe

PROBES: tuple[Probe, ...] = (
    fixed_pairs.PROBE,
    reference_samples.PROBE,
    entanglement.PROBE,
    tokens.PROBE,
    families.PROBE,
    virtual_step.PROBE,
)
