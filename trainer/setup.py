"""Everything between the command line and the first optimizer step."""

from __future__ import annotations

import hashlib
import math
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accelerate
import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin
from torch import nn
from transformers import PreTrainedTokenizerBase, get_scheduler

from diagnostics.methods import METHODS
from trainer import batches, checkpoints, config, data, dropping, models, probe_set, tiny
from trainer.config import TrainConfig
from trainer.data import Example, PreferenceData
from trainer.errors import ConfigError, DataError
from trainer.metrics import Sums
from trainer.probes.contract import ProbeSet
from trainer.records import PairRecords
from trainer.sinks import Sinks, has_trained
from trainer.step import Step


@dataclass
class Training:
    """What the loop works with."""

    config: TrainConfig
    accelerator: Accelerator
    policy: nn.Module
    optimizer: Any
    scheduler: Any
    step: Step
    sums: Sums
    records: PairRecords | None
    sinks: Sinks
    train: Sequence[Example]
    held_out: Sequence[Example]
    probes: ProbeSet
    done: checkpoints.Progress
    total_steps: int
    tokenizer: PreTrainedTokenizerBase

    @property
    def eval_every(self) -> int:
        """Optimizer steps between two evaluations; 0 for none but those at the ends."""
        given = self.config.eval_steps
        return given if given >= 0 else math.ceil(self.total_steps / 10)


def prepare(settings: TrainConfig, warm_up_progress: tiny.Progress | None = None) -> Training:
    """Load data, models and probes, restore a checkpoint when resuming, and open the log.

    Raises
    ------
    TrainerError
        With one sentence, before any training step, for everything that can be known by then.
    """
    directory = Path(settings.output_dir)
    _claim(settings, directory)
    accelerator = _accelerator(settings)
    if settings.model in tiny.MODEL_CLASSES and accelerator.device.type == "cpu":
        # Matrices this small gain little from more threads, and crawl when cores are shared.
        torch.set_num_threads(1)
    _check_mismatch(settings, accelerator.num_processes)
    transformers.set_seed(settings.seed)
    with accelerator.main_process_first():
        model = initial_model(settings, warm_up_progress)
    tokenizer = models.load_tokenizer(settings, model)
    train, held_out = load_data(settings, tokenizer)
    policy = models.build_policy(settings, model)
    _check_vocabulary(tokenizer, policy, model)
    policy.to(accelerator.device)
    probes = _probe_set(settings, accelerator, policy, tokenizer, train, held_out)
    reference = None
    if METHODS[settings.method].reference:
        reference = models.build_reference(settings, model, policy)
        if reference.model is not None:
            reference.model = _place_reference(accelerator, reference.model)
    total = batches.total_steps(settings, len(train.examples), accelerator.num_processes)
    optimizer, scheduler = _optimizer(settings, policy, total)
    policy, optimizer = accelerator.prepare(policy, optimizer)
    if reference is not None:
        reference.policy = policy
    sums = Sums(accelerator.device)
    accelerator.register_for_checkpointing(scheduler, sums)
    done = _restored(settings, accelerator, sums)
    if accelerator.is_main_process:
        config.save(settings)
    # Only the main process writes it, and it digests all weights.
    header = (
        _header(settings, model, train, total, accelerator) if accelerator.is_main_process else {}
    )
    return Training(
        config=settings,
        accelerator=accelerator,
        policy=policy,
        optimizer=optimizer,
        scheduler=scheduler,
        step=Step(settings, policy, reference, accelerator),
        sums=sums,
        records=PairRecords() if settings.log_pairs else None,
        sinks=Sinks(settings, accelerator, header, done.step),
        train=train.examples,
        held_out=held_out[: settings.max_eval_examples],
        probes=probes,
        done=done,
        total_steps=total,
        tokenizer=tokenizer,
    )


def _accelerator(settings: TrainConfig) -> Accelerator:
    """Return the accelerator; precision and accumulation are the step's business, not its."""
    # Apple's GPUs know no float64, in which the metrics are summed.
    mps = torch.backends.mps.is_available() and not torch.cuda.is_available()
    return Accelerator(
        cpu=settings.use_cpu or mps,
        mixed_precision="no",
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
    )


def _place_reference(accelerator: Accelerator, frozen: nn.Module) -> nn.Module:
    """Put the frozen reference on this rank, sharded where the policy is sharded.

    It is not prepared with the policy: checkpoints need no copy of what never changes.
    """
    if accelerator.is_fsdp2:
        from accelerate.utils.fsdp_utils import fsdp2_prepare_model

        sharded: nn.Module = fsdp2_prepare_model(accelerator, frozen)
        return sharded
    return frozen.to(accelerator.device)


def _claim(settings: TrainConfig, directory: Path) -> None:
    """Make sure that the output folder may be written to and holds no other run."""
    if settings.resume:
        if (directory / "config.json").is_file():
            config.check_resume(settings)
    elif checkpoints.latest(directory) is not None or has_trained(directory):
        raise ConfigError(
            f"--output_dir {directory} already holds a run: add --resume true to go on with it, or "
            "choose another folder"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--output_dir {directory} cannot be made ({error.strerror}): choose a folder that can "
            "be written to"
        ) from error


def initial_model(settings: TrainConfig, progress: tiny.Progress | None = None) -> str:
    """Return the path or hub name of the initial policy; a tiny model is built first."""
    if settings.model not in tiny.MODEL_CLASSES:
        return settings.model
    documents = tiny_documents(settings)
    warm_up = tiny.WarmUp(
        steps=settings.tiny_warmup_steps, learning_rate=settings.tiny_warmup_learning_rate
    )
    folder = tiny.build_tiny(settings.model, documents, warm_up=warm_up, progress=progress)
    return str(folder)


def tiny_documents(settings: TrainConfig) -> list[tiny.Document]:
    """Return the texts a tiny model learns: --warmup_data, or both sides of --data."""
    if settings.warmup_data:
        return list(data.documents(settings.warmup_data, undesirable=True))
    return list(data.documents(settings.data, split=settings.data_split, undesirable=True))


def load_data(
    settings: TrainConfig, tokenizer: PreTrainedTokenizerBase
) -> tuple[PreferenceData, tuple[Example, ...]]:
    """Return the training data, listed pairs left out, and the held-out examples."""
    train, held_out = _split_data(settings, tokenizer)
    if settings.drop_pairs:
        train = dropping.without_listed(train, settings.drop_pairs)
    return train, held_out


def _split_data(
    settings: TrainConfig, tokenizer: PreTrainedTokenizerBase
) -> tuple[PreferenceData, tuple[Example, ...]]:
    split = settings.data_split
    whole = data.load_examples(settings.data, tokenizer, settings.max_length, split=split)
    _check_shape(settings, whole)
    if settings.eval_data:
        if (settings.eval_data, settings.eval_split) == (settings.data, split):
            raise ConfigError(
                "--eval_data is --data itself: leave it out to hold a part back, or name another "
                "--eval_split"
            )
        held = data.load_examples(
            settings.eval_data, tokenizer, settings.max_length, split=settings.eval_split
        )
        _check_shape(settings, held)
        return whole, held.examples
    if settings.held_out == 0:
        return whole, ()
    train, kept_back = data.split_examples(whole, settings.held_out, settings.seed)
    return train, kept_back.examples


def _check_shape(settings: TrainConfig, found: PreferenceData) -> None:
    method = METHODS[settings.method]
    if method.paired and not found.paired:
        raise DataError(
            f"{found.identity['source']} holds single completions with a label, and "
            f"{settings.method} compares pairs: use --method kto, or data with chosen and rejected"
        )
    if not method.paired and len(found.examples) < 2:
        raise DataError(
            f"{found.identity['source']} holds one example, and {settings.method} needs at least "
            "two to estimate its reference point: give more data"
        )


def _check_mismatch(settings: TrainConfig, world: int) -> None:
    """KTO's reference point pairs a prompt with the completion of another example of the batch."""
    if not METHODS[settings.method].paired and batches.examples_per_step(settings, world) < 2:
        raise ConfigError(
            f"{settings.method} needs at least two examples per step for its reference point: "
            "raise --per_device_train_batch_size or --gradient_accumulation_steps"
        )


def _check_vocabulary(tokenizer: PreTrainedTokenizerBase, policy: nn.Module, model: str) -> None:
    embeddings = policy.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
    if len(tokenizer) > embeddings:
        raise DataError(
            f"the tokenizer of {model} has {len(tokenizer)} tokens and the model embeds "
            f"{embeddings}: use the tokenizer that the model was trained with"
        )


def _restored(settings: TrainConfig, accelerator: Accelerator, sums: Sums) -> checkpoints.Progress:
    """Restore the latest checkpoint when resuming; return how far the run has come.

    Other examples per step than before are refused: the data order would not go on.
    """
    checkpoint = checkpoints.latest(Path(settings.output_dir)) if settings.resume else None
    if checkpoint is None:
        return checkpoints.Progress()
    done = checkpoints.load(accelerator, checkpoint, sums)
    world = accelerator.num_processes
    size = batches.examples_per_step(settings, world)
    if done.examples_per_step != size:
        raise ConfigError(
            f"--resume: {world} processes make {size} examples per step, and the run began with "
            f"{done.examples_per_step}; use as many processes as before"
        )
    return done


def _probe_set(
    settings: TrainConfig,
    accelerator: Accelerator,
    policy: Any,
    tokenizer: PreTrainedTokenizerBase,
    train: PreferenceData,
    held_out: tuple[Example, ...],
) -> ProbeSet:
    """Build the probe set on the main process, before the policy is wrapped; share it as a file."""
    directory = Path(settings.output_dir)
    kept = settings.resume and (directory / probe_set.FILE_NAME).is_file()
    if accelerator.is_main_process and not kept:
        built = probe_set.build(settings, policy, tokenizer, train.examples, held_out)
        probe_set.save(directory, built)
    accelerator.wait_for_everyone()
    return probe_set.load(directory)


def _optimizer(settings: TrainConfig, policy: nn.Module, total: int) -> tuple[Any, Any]:
    trained = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        trained,
        lr=settings.learning_rate,
        betas=(0.9, settings.adam_beta2),
        weight_decay=settings.weight_decay,
    )
    warm_up = 0 if settings.lr_scheduler_type == "constant" else settings.warmup_ratio * total
    scheduler = get_scheduler(
        settings.lr_scheduler_type,
        optimizer,
        num_warmup_steps=round(warm_up),
        num_training_steps=total,
    )
    return optimizer, scheduler


def _header(
    settings: TrainConfig, model: str, train: PreferenceData, total: int, accelerator: Accelerator
) -> dict[str, Any]:
    template = train.template
    return {
        "name": settings.run_name,
        "method": settings.method,
        "beta": settings.hyper["beta"],
        "hyper": settings.hyper,
        "config": settings.resolved(),
        "total_steps": total,
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "accelerate": accelerate.__version__,
        },
        "git_revision": _git_revision(),
        "model": models.identity(settings, model),
        "data": dict(train.identity),
        "template": template,
        "template_sha256": template and hashlib.sha256(template.encode()).hexdigest(),
        "seed": settings.seed,
    }


def _git_revision() -> str | None:
    """Return the revision of this code, with +changes where files differ from it."""
    here = Path(__file__).resolve().parent
    try:
        revision, changes = (
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True, timeout=10
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{revision}+changes" if changes else revision
