"""The casebook: claims about preference training and its pathologies, one experiment a file."""

from trainer.casebook import both_fall, both_rise
from trainer.casebook.contract import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (both_rise.EXPERIMENT, both_fall.EXPERIMENT)
