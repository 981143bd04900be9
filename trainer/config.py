"""TrainConfig: every setting of one training, flat, frozen, saved beside the log."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnostics import methods
from trainer.errors import ConfigError

SCHEDULES = ("constant", "constant_with_warmup", "linear", "cosine")
_LOSS_SETTINGS = (
    *("beta", "label_smoothing", "simpo_gamma", "gamma_beta_ratio", "discopop_tau"),
    *("desirable_weight", "undesirable_weight", "sft_weight", "sft_reduction"),
)
UNSET = -1.0  # "take the method's own default"; NaN would break the equality of two configs


def _option(default: Any, text: str, **kwargs: Any) -> Any:
    return field(default=default, metadata={"help": text, **kwargs})


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run; units are named in each setting's help text."""

    # What to train, on what, where to
    method: str = _option("dpo", "Training method: dpo, kto, orpo, simpo, ipo, cpo, sft, …")
    model: str = _option("", "Path or hub name of a causal LM, or tiny-qwen3 / tiny-qwen2.")
    data: str = _option("", "File, folder or hub name of the preference data.")
    output_dir: str = _option("", "Folder that receives the log, the probes and the checkpoints.")
    data_split: str = _option("train", "Split of a hub data set.")
    eval_split: str = _option("train", "Split of a hub data set given as --eval_data.")
    eval_data: str = _option("", "Held-out data; empty: a part of --data is held out.")
    drop_pairs: str = _option("", "CSV or JSONL list of training pairs to leave out.")
    warmup_data: str = _option("", "Text a tiny model is warmed up on; empty: --data.")
    name: str = _option("", "Name of the run; empty: the name of output_dir.")
    resume: bool = _option(False, "Go on from the latest checkpoint in output_dir.")
    report_to: str = _option("none", "none or wandb, beside the run log.")
    wandb_project: str = _option("seesaw", "W&B project of --report_to wandb.")

    # Loss
    beta: float = _option(UNSET, "Reward scale beta (ORPO: lambda); -1: the method's default.")
    label_smoothing: float = _option(
        UNSET, "Assumed share of flipped labels, 0 to 0.5; -1: the method's default."
    )
    discopop_tau: float = _option(UNSET, "DiscoPOP's temperature; -1: the method's default.")
    simpo_gamma: float = _option(UNSET, "SimPO's target margin gamma in reward units; -1: default.")
    gamma_beta_ratio: float = _option(UNSET, "SimPO's target margin as gamma/beta; -1: not given.")
    desirable_weight: float = _option(1.0, "KTO's lambda_D.")
    undesirable_weight: float = _option(1.0, "KTO's lambda_U.")
    sft_weight: float = _option(UNSET, "Coefficient of the SFT term; -1: the method's default.")
    sft_reduction: str = _option("token", "SFT term: mean over token or per sequence.")
    sft_scope: str = _option("completion", "SFT term over completion or prompt_and_completion.")

    # Data shape
    max_length: int = _option(1024, "Prompt plus completion are cut to this many tokens.")
    held_out: float = _option(0.1, "Share of --data held out for evaluation, 0 to 0.5.")
    max_eval_examples: int = _option(256, "At most this many held-out examples are evaluated.")

    # Optimisation
    learning_rate: float = _option(1e-6, "Peak learning rate.")
    lr_scheduler_type: str = _option("cosine", "constant, constant_with_warmup, linear, cosine.")
    warmup_ratio: float = _option(0.1, "Share of the steps over which the rate rises from 0.")
    weight_decay: float = _option(0.0, "AdamW's weight decay.")
    adam_beta2: float = _option(0.999, "AdamW's second-moment decay.")
    max_grad_norm: float = _option(1.0, "Gradients are clipped to this L2 norm; 0: never.")
    num_train_epochs: float = _option(1.0, "Passes over the training examples.")
    max_steps: int = _option(-1, "Optimizer steps; overrides num_train_epochs when positive.")
    per_device_train_batch_size: int = _option(8, "Examples of one micro-batch on one device.")
    gradient_accumulation_steps: int = _option(1, "Micro-batches of one optimizer step.")
    shuffle: bool = _option(True, "Shuffle the examples in every epoch.")
    seed: int = _option(0, "Seed of the data order, the held-out split and the samples.")

    # Model
    lora_r: int = _option(0, "LoRA rank; 0 trains all weights.")
    lora_alpha: float = _option(16.0, "LoRA alpha.")
    lora_target_modules: str = _option("all-linear", "Comma-separated module names for LoRA.")
    bf16: bool = _option(True, "bf16 autocast where there is a GPU; CPUs stay in fp32.")
    gradient_checkpointing: bool = _option(False, "Recompute activations to save memory.")
    trust_remote_code: bool = _option(False, "Run code that the model's author ships.")
    use_cpu: bool = _option(False, "Train on the CPU even where there is a GPU.")
    tiny_warmup_steps: int = _option(150, "Language-model steps that warm up a tiny model.")

    tiny_warmup_learning_rate: float = _option(2e-3, "Peak learning rate of that warm-up.")

    # Logging, evaluation, checkpoints
    logging_steps: int = _option(1, "Optimizer steps of one logging window.")
    eval_steps: int = _option(
        -1, "Optimizer steps between evaluations and probes; 0: ends only, -1: ten times in all."
    )
    save_steps: int = _option(500, "Optimizer steps between checkpoints; 0: none.")
    save_total_limit: int = _option(2, "Checkpoints kept; older ones are deleted.")
    save_model: bool = _option(True, "Save the trained model under output_dir/model.")
    log_pairs: bool = _option(True, "Write per-pair records of every training step.")
    log_texts: bool = _option(True, "Keep the texts of the pairs beside their records.")
    probe_pairs: int = _option(64, "Fixed probe: this many training and held-out examples each.")
    probe_samples: int = _option(1, "Reference samples per probe prompt; 0: no drift estimate.")
    probe_sample_tokens: int = _option(64, "Longest reference sample in tokens.")
    probe_entanglement_pairs: int = _option(
        8, "Train probe examples whose gradients are compared at each evaluation; 0: none."
    )
    probe_token_pairs: int = _option(
        16, "Train probe examples whose every token is recorded at each evaluation; 0: none."
    )
    probe_family_prompts: int = _option(
        16, "Train probe prompts scored with other texts behind them; 0: no response families."
    )
    probe_virtual_steps: int = _option(
        5, "Every how manieth evaluation tries one optimizer step and undoes it; 0: none."
    )

    def __post_init__(self) -> None:
        """Check every setting that can be checked without the data and the model."""
        for name in ("model", "data", "output_dir"):
            if not getattr(self, name):
                raise ConfigError(f"--{name} is missing: give it on the command line or in a file")
        try:
            entry = methods.method(self.method)
        except KeyError as error:
            raise ConfigError(f"--method: {error.args[0]}") from None
        object.__setattr__(self, "method", entry.name)
        self._check_ranges()
        self._check_meaning(entry)
        if self.gamma_beta_ratio != UNSET and self.simpo_gamma != UNSET:
            raise ConfigError(
                "--simpo_gamma and --gamma_beta_ratio name the same target margin "
                "(gamma = ratio × beta): give one of them"
            )

    def _check_meaning(self, method: methods.Method) -> None:
        """Refuse a loss setting that the method would silently ignore."""
        known = {one.name for one in method.hyperparameters}
        aliases = {"simpo_gamma": "gamma", "gamma_beta_ratio": "gamma"}
        for one in dataclasses.fields(self):
            own = aliases.get(one.name, one.name)
            is_set = getattr(self, one.name) != one.default
            if one.name in _LOSS_SETTINGS and is_set and own not in known:
                raise ConfigError(
                    f"--{one.name} means nothing to {method.name}: leave it out "
                    f"({method.name} knows {', '.join(sorted(known)) or 'no loss settings'})"
                )

    def _check_ranges(self) -> None:
        for name in ("entanglement_pairs", "token_pairs", "family_prompts", "virtual_steps"):
            if getattr(self, f"probe_{name}") < 0:
                value = getattr(self, f"probe_{name}")
                raise ConfigError(f"--probe_{name} is {value}: expected 0 or a number above 0")
        positive = ("max_length", "per_device_train_batch_size", "gradient_accumulation_steps")
        for name in (*positive, "logging_steps", "learning_rate", "num_train_epochs"):
            value = getattr(self, name)
            if value < 0 or (name != "learning_rate" and value == 0):
                raise ConfigError(f"--{name} is {value}: expected a number above 0")
        choices = {
            "lr_scheduler_type": SCHEDULES,
            "sft_reduction": ("token", "sequence"),
            "sft_scope": ("completion", "prompt_and_completion"),
            "report_to": ("none", "wandb"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ConfigError(
                    f"--{name} is {getattr(self, name)!r}: expected one of {', '.join(allowed)}"
                )
        if self.label_smoothing != UNSET and not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(
                f"--label_smoothing is {self.label_smoothing}: expected 0 or more and below 0.5"
            )
        if self.max_grad_norm < 0:
            raise ConfigError(
                f"--max_grad_norm is {self.max_grad_norm}: expected a norm, or 0 for none"
            )
        if not 0 <= self.warmup_ratio <= 1:
            raise ConfigError(
                f"--warmup_ratio is {self.warmup_ratio}: expected a share between 0 and 1"
            )
        if self.probe_samples > 0 and self.probe_sample_tokens < 1:
            raise ConfigError(
                f"--probe_sample_tokens is {self.probe_sample_tokens}: expected at least 1, or "
                "--probe_samples 0"
            )
        if not 0 <= self.held_out <= 0.5:
            raise ConfigError(f"--held_out is {self.held_out}: expected a share between 0 and 0.5")
        if self.beta != UNSET and self.beta <= 0:
            raise ConfigError(f"--beta is {self.beta}: expected a number above 0")

    @property
    def run_name(self) -> str:
        """Name of the run as it appears in the log and on the dashboard."""
        return self.name or Path(self.output_dir).name

    @property
    def hyper(self) -> dict[str, Any]:
        """Loss hyper-parameters with the method's own defaults filled in.

        gamma is SimPO's target margin in reward units: gamma_beta_ratio × beta when the ratio
        was given (arXiv 2405.14734, section 2.3).
        """
        given: dict[str, Any] = {
            "beta": self.beta,
            "gamma": self.simpo_gamma,
            "label_smoothing": self.label_smoothing,
            "desirable_weight": self.desirable_weight,
            "undesirable_weight": self.undesirable_weight,
            "discopop_tau": self.discopop_tau,
            "sft_weight": self.sft_weight,
            "sft_reduction": self.sft_reduction,
        }
        method = methods.METHODS[self.method]
        own = {one.name for one in method.hyperparameters}
        hyper = method.hyper({n: v for n, v in given.items() if n in own and v != UNSET})
        if self.gamma_beta_ratio != UNSET:
            hyper["gamma"] = self.gamma_beta_ratio * hyper["beta"]
        return hyper

    def resolved(self) -> dict[str, Any]:
        """Return the settings as they take effect: method defaults filled in, the rest None."""
        hyper = self.hyper
        effective = {name: hyper.get(name) for name in _LOSS_SETTINGS}
        effective |= {"simpo_gamma": hyper.get("gamma"), "gamma_beta_ratio": None}
        if hyper.get("gamma") is not None:
            effective["gamma_beta_ratio"] = hyper["gamma"] / hyper["beta"]
        return {**self.to_dict(), **effective}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as a JSON-ready dictionary."""
        return dataclasses.asdict(self)


# Settings that may change between a run and its continuation without changing the trajectory.
_FREE_ON_RESUME = frozenset(
    (
        *("resume", "output_dir", "name", "report_to", "wandb_project"),
        *("save_steps", "save_total_limit", "save_model", "log_texts"),
    )
)


def save(config: TrainConfig) -> None:
    """Write the settings to output_dir/config.json."""
    path = Path(config.output_dir) / "config.json"
    path.write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")


def check_resume(config: TrainConfig) -> None:
    """Compare the settings with those of the run that is continued.

    Raises
    ------
    ConfigError
        When a setting that shapes the trajectory differs; names the first such setting.
    """
    path = Path(config.output_dir) / "config.json"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}): --resume needs the folder of an earlier run"
        ) from error
    for name, value in config.to_dict().items():
        if name not in _FREE_ON_RESUME and name in before and before[name] != value:
            raise ConfigError(
                f"--resume: {name} is {value!r} but the run in {config.output_dir} began with "
                f"{before[name]!r}; use the same value or start a new --output_dir"
            )
