"""Errors a user can act on, each one sentence; the command line prints it and exits with 2.

::

    TrainerError
    ├── ConfigError    a setting, or two that contradict each other
    ├── DataError      missing columns, empty data, pairs that cannot be trained on
    └── ModelError     a model or tokenizer that cannot be loaded or cannot be trained
"""

from __future__ import annotations


class TrainerError(Exception):
    """Base of everything that stops a training with one sentence."""


class ConfigError(TrainerError):
    """A setting is out of range or contradicts another."""


class DataError(TrainerError):
    """The data cannot be read or holds nothing to train on."""


class ModelError(TrainerError):
    """The model or its tokenizer cannot be loaded or trained."""
