"""How a setting is written in TRL, LLaMA-Factory and the trainer here.

A flag is exactly what to write: for TRL the arguments of its configuration class
(`DPOConfig(beta=0.2)`), for LLaMA-Factory lines of its YAML file (`pref_beta: 0.2`), for the
trainer here command-line options (`--beta 0.2`). A framework that cannot train the method, or
has no such setting, is left out. Names are those of TRL 1.16 and LLaMA-Factory 0.9.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostics.methods import METHODS

Settings = Mapping[str, Any]

# The class that configures a method in TRL; those of orpo, cpo and simpo are in trl.experimental.
TRL_CONFIGS = {"kto": "KTOConfig", "orpo": "ORPOConfig", "sft": "SFTConfig"} | dict.fromkeys(
    ("cpo", "simpo"), "CPOConfig"
)
# What every configuration class of TRL inherits from transformers' trainer, as far as it is used:
# all that can be written where the method is not known.
INHERITED = frozenset(
    (
        *("learning_rate", "num_train_epochs", "max_steps", "max_grad_norm", "warmup_steps"),
        *("per_device_train_batch_size", "logging_steps", "bf16"),
    )
)
# LLaMA-Factory trains IPO and hinge in name only: with TRL 0.20 to 0.24, which its releases since
# 0.9.4 install, both silently train the sigmoid loss.
LLAMAFACTORY_METHODS = ("dpo", "orpo", "simpo", "kto", "sft")


def flags(
    method: str | None,
    *,
    trl: Settings | None = None,
    llamafactory: Settings | None = None,
    seesaw: Settings | None = None,
) -> dict[str, str]:
    """Return what to write in each framework that can train `method`, by framework.

    `trl`, `llamafactory` and `seesaw` map a framework's own argument names to values; None where
    it cannot do it. A method that is not known counts as one that every framework trains, but of
    TRL, whose classes differ, it gets only what they share.

    Examples
    --------
    >>> flags("dpo", trl={"beta": 0.2}, llamafactory={"pref_beta": 0.2}, seesaw={"beta": 0.2})
    {'trl': 'DPOConfig(beta=0.2)', 'llamafactory': 'pref_beta: 0.2', 'seesaw': '--beta 0.2'}
    >>> flags("ipo", llamafactory={"pref_beta": 0.2})
    {}
    """
    found = {}
    if trl and (method in METHODS or INHERITED.issuperset(trl)):
        arguments = ", ".join(f"{name}={_python(value)}" for name, value in trl.items())
        found["trl"] = f"{trl_config(method)}({arguments})"
    if llamafactory and (method is None or method in LLAMAFACTORY_METHODS):
        found["llamafactory"] = "\n".join(f"{k}: {_yaml(v)}" for k, v in llamafactory.items())
    if seesaw:
        found["seesaw"] = " ".join(_option(name, value) for name, value in seesaw.items())
    return found


def everywhere(method: str | None, **values: Any) -> dict[str, str]:
    """Return the flags of settings that all three call by one name.

    Examples
    --------
    >>> everywhere("kto", learning_rate=5e-7)["llamafactory"]
    'learning_rate: 5.0e-07'
    """
    return flags(method, trl=values, llamafactory=values, seesaw=values)


def trl_config(method: str | None) -> str:
    """Return TRL's configuration class of a method; transformers' own for an unknown method."""
    return TRL_CONFIGS.get(method, "DPOConfig") if method in METHODS else "TrainingArguments"


def rounded(value: float) -> float:
    """Return a value to two significant digits: no remedy is known more exactly.

    Examples
    --------
    >>> rounded(0.01234), rounded(1.987e-6)
    (0.012, 2e-06)
    """
    return float(f"{value:.2g}")


def _python(value: Any) -> str:
    return repr(value).replace("'", '"')


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    # YAML 1.1 reads 5e-07 as a string: a float needs its point.
    return text.replace("e", ".0e") if isinstance(value, float) and _bare(text) else text


def _bare(text: str) -> bool:
    return "e" in text and "." not in text


def _option(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no_{name}"
    return f"--{name} {value}"
