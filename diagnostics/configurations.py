"""What the configurations of several runs share, and in what they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from diagnostics.run import Run

# Where a run was written, how often it was logged and where it ran say nothing about the method.
NOT_SETTINGS = frozenset(
    {"output_dir", "run_name", "logging_dir", "name", "path", "time", "local_rank", "disable_tqdm"}
    | {"wandb_project", "wandb_entity", "report_to", "project", "trackio_space_id", "_wandb"}
    | {"hub_model_id", "hub_token", "push_to_hub", "overwrite_output_dir", "resume"}
    | {"resume_from_checkpoint", "transformers_version", "dataloader_num_workers"}
    | {"global_step", "logging_steps", "logging_first_step", "save_steps", "save_total_limit"}
)
SEEDS = frozenset({"seed", "data_seed"})


def configuration_differences(runs: Sequence[Run]) -> dict[str, tuple[object, ...]]:
    """Return the settings in which the runs differ, one value a run, None where not known.

    A setting that only some logs state is no difference: nobody knows what the others had.
    """
    return {
        name: column
        for name, column in all_settings(runs).items()
        if not is_noise(name) and len({_alike(one) for one in column if one is not None}) > 1
    }


def all_settings(runs: Sequence[Run]) -> dict[str, tuple[object, ...]]:
    """Return every setting that any of the runs states, one value a run, None where not known.

    Names of nested settings carry dots.
    """
    configs = [{"method": run.method, **flat(run.config)} for run in runs]
    names = dict.fromkeys(name for config in configs for name in config)
    return {name: tuple(config.get(name) for config in configs) for name in names}


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration without nesting.

    Examples
    --------
    >>> flat({"beta": 0.1, "lora": {"r": 8}})
    {'beta': 0.1, 'lora.r': 8}
    """
    return dict(_flat(config))


def is_noise(name: str) -> bool:
    """Return whether a setting says nothing about how a run was trained."""
    return bool(NOT_SETTINGS & set(name.split(".")))


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _alike(value: object) -> str:
    """Return what two equal values share: 1 and 1.0 are one number, True is none."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(float(value)) if abs(value) < 2**53 else repr(value)
    return repr(value)
