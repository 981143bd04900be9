"""The casebook: claims about preference training and its pathologies, one experiment a file."""

from trainer.casebook import (
    both_fall,
    both_rise,
    ches,
    kto,
    kto_weights,
    label_noise,
    learning_rate,
    length,
    off_policy,
    orpo,
    phase_map,
    ranking,
    regimes,
    sft_term,
    simpo,
    squeeze,
    tide,
    worse_chosen,
)
from trainer.casebook.contract import Experiment

EXPERIMENTS: tuple[Experiment, ...] = (
    regimes.EXPERIMENT,
    phase_map.EXPERIMENT,
    both_rise.EXPERIMENT,
    both_fall.EXPERIMENT,
    learning_rate.EXPERIMENT,
    tide.EXPERIMENT,
    sft_term.EXPERIMENT,
    off_policy.EXPERIMENT,
    worse_chosen.EXPERIMENT,
    kto.EXPERIMENT,
    kto_weights.EXPERIMENT,
    orpo.EXPERIMENT,
    ranking.EXPERIMENT,
    length.EXPERIMENT,
    simpo.EXPERIMENT,
    label_noise.EXPERIMENT,
    squeeze.EXPERIMENT,
    ches.EXPERIMENT,
)
