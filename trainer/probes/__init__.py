"""Probes: fixed texts that every evaluation scores again, one probe a file."""

from trainer.probes import fixed_pairs, reference_samples
from trainer.probes.contract import Probe

PROBES: tuple[Probe, ...] = (fixed_pairs.PROBE, reference_samples.PROBE)
