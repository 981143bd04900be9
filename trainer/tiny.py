"""Tiny models with the true architecture, for machines without weights.

`build_tiny` makes a Qwen3 or Qwen2 causal language model of one to three million parameters and a
byte-level BPE tokenizer trained on the texts at hand, warms the model up on those texts, and saves
an ordinary checkpoint that `AutoModelForCausalLM` and `AutoTokenizer` load. Checkpoints lie in a
content-addressed cache, so every run on the same texts and settings starts from the same policy
and the second one starts at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from trainer.errors import ModelError

Message = Mapping[str, str]
Document = str | Sequence[Message]
Progress = Callable[[int, int, float], None]

# Part of the cache key: raise it when the same settings would build a different model.
RECIPE_VERSION = 1

PAD_TOKEN = "<|endoftext|>"
START_TOKEN = "<|im_start|>"
END_TOKEN = "<|im_end|>"
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['role'] == 'assistant' %}"
    "{% generation %}{{- message['content'] + '<|im_end|>' }}{% endgeneration %}"
    "{%- else %}{{- message['content'] + '<|im_end|>' }}{%- endif %}"
    "{{- '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
# Qwen's own split: contractions, words with one leading mark, single digits, punctuation, blanks.
WORD_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Small enough for two cores, yet above one million parameters with the 259 tokens of bare bytes.
ARCHITECTURE: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,
    # Three times the usual spread: narrow matrices learn markedly faster from it.
    "initializer_range": 0.06,
}
LONGEST_BLOCK = 512
SHORTEST_BLOCK = 64


@dataclass(frozen=True)
class WarmUp:
    """How a tiny model learns its texts before preference training.

    `tokens_per_step` is rounded down to whole blocks, at least one; the learning rate rises over
    the first tenth of the steps and falls to a tenth of its peak along a cosine.
    """

    steps: int = 150
    tokens_per_step: int = 1024
    learning_rate: float = 2e-3
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Blocks:
    """Documents packed into rows of one length; N blocks of T tokens.

    A label of -100 is not scored: padding and the first token of each document, whose left
    neighbour belongs to another document. Positions restart at 0 with every document, from which
    the model derives a mask that keeps documents apart.
    """

    input_ids_NT: Tensor
    labels_NT: Tensor
    positions_NT: Tensor


def default_cache() -> Path:
    """Return the folder of models: `$SEESAW_CACHE`, else `~/.cache/seesaw/models`."""
    folder = os.environ.get("SEESAW_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "seesaw" / "models"


def build_tiny(
    name: str,
    documents: Sequence[Document],
    directory: Path | None = None,
    *,
    seed: int = 0,
    warm_up: WarmUp | None = None,
    vocabulary: int = 4096,
    sizes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of a warmed-up tiny model, built now or found in the cache.

    Parameters
    ----------
    name
        "tiny-qwen3" or "tiny-qwen2".
    documents
        What the tokenizer and the model learn: plain texts, or conversations as lists of
        messages with "role" and "content", which the chat template renders.
    directory
        The cache; `default_cache()` when None. The checkpoint is a folder inside it.
    seed
        Seed of the initial weights and of the order of the documents.
    warm_up
        Length and learning rate of the language modelling; `WarmUp()` when None.
    vocabulary
        Upper bound of the number of tokens, at most 4096.
    sizes
        Entries of the model's configuration that differ from `ARCHITECTURE`.
    progress
        Called with (step, steps, loss in nats per token) after every warm-up step.

    Raises
    ------
    ModelError
        When the name is unknown or there is no text to learn from.
    """
    _check(name, documents)
    warm_up = warm_up or WarmUp()
    architecture = ARCHITECTURE | dict(sizes or {})
    recipe = describe_recipe(name, documents, seed, warm_up, vocabulary, architecture)
    cache = directory or default_cache()
    folder = cache / f"{name}-{recipe['hash'][:16]}"
    if folder.is_dir():
        return folder
    tokenizer = train_tokenizer(documents, min(vocabulary, 4096))
    model = make_model(name, tokenizer, seed, architecture)
    blocks = pack_blocks(tokenize_documents(tokenizer, documents), tokenizer.pad_token_id, seed)
    losses = warm_up_model(model, blocks, warm_up, seed, progress)
    recipe |= {
        "parameters": model.num_parameters(),
        "tokens": len(tokenizer),
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
    }
    save_atomically(folder, model, tokenizer, recipe)
    return folder


def _check(name: str, documents: Sequence[Document]) -> None:
    if name not in MODEL_CLASSES:
        raise ModelError(
            f"model {name!r}: there is no tiny model of that name; expected one of "
            f"{', '.join(MODEL_CLASSES)}"
        )
    if not any(documents):
        raise ModelError(f"model {name!r}: a tiny model needs texts to learn from and found none")


def describe_recipe(
    name: str,
    documents: Sequence[Document],
    seed: int,
    warm_up: WarmUp,
    vocabulary: int,
    architecture: Mapping[str, Any] = ARCHITECTURE,
) -> dict[str, Any]:
    """Return everything the model depends on, and its hash."""
    texts = json.dumps(
        [item if isinstance(item, str) else [dict(turn) for turn in item] for item in documents],
        ensure_ascii=False,
        sort_keys=True,
    )
    recipe: dict[str, Any] = {
        "recipe_version": RECIPE_VERSION,
        "name": name,
        "seed": seed,
        "warm_up": asdict(warm_up),
        "vocabulary": vocabulary,
        "architecture": dict(architecture),
        "chat_template": CHAT_TEMPLATE,
        "documents": len(documents),
        "documents_sha256": hashlib.sha256(texts.encode()).hexdigest(),
    }
    recipe["hash"] = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    return recipe


def train_tokenizer(documents: Sequence[Document], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer learnt from the documents, with the chat template."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORD_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[PAD_TOKEN, START_TOKEN, END_TOKEN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(plain_texts(documents), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        chat_template=CHAT_TEMPLATE,
        model_max_length=ARCHITECTURE["max_position_embeddings"],
    )


def plain_texts(documents: Sequence[Document]) -> Iterator[str]:
    """Yield every text in the documents, the role names included: the template writes them."""
    for document in documents:
        if isinstance(document, str):
            yield document
            continue
        for turn in document:
            yield f"{turn['role']}\n"
            yield turn["content"]


def tokenize_documents(
    tokenizer: PreTrainedTokenizerFast, documents: Sequence[Document]
) -> list[list[int]]:
    """Return the token ids of each document, cut at the longest block.

    A text ends with EOS; a conversation ends as its template ends it.
    """
    ids: list[list[int]] = []
    for document in documents:
        if isinstance(document, str):
            text = document + END_TOKEN
        else:
            text = tokenizer.apply_chat_template([dict(turn) for turn in document], tokenize=False)
        ids.append(tokenizer(text, truncation=True, max_length=LONGEST_BLOCK)["input_ids"])
    return ids


def make_model(
    name: str,
    tokenizer: PreTrainedTokenizerFast,
    seed: int,
    architecture: Mapping[str, Any] = ARCHITECTURE,
) -> Qwen3ForCausalLM | Qwen2ForCausalLM:
    """Return a model with random weights that depend on the seed and on nothing else."""
    config_class, model_class = MODEL_CLASSES[name]
    sizes = dict(architecture)
    if name == "tiny-qwen3":
        sizes["head_dim"] = sizes["hidden_size"] // sizes["num_attention_heads"]
    config = config_class(
        **sizes,
        vocab_size=len(tokenizer),
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return model_class(config).to(torch.float32)


def pack_blocks(documents: Sequence[Sequence[int]], pad_id: int, seed: int) -> Blocks:
    """Return the documents, in an order drawn from the seed, packed first come first served.

    The block is as long as the longest document, within 64 to 512 tokens; longer documents are
    cut there, which also bounds the time a warm-up on real completions takes.
    """
    length = max(SHORTEST_BLOCK, min(LONGEST_BLOCK, max(map(len, documents))))
    order = list(range(len(documents)))
    random.Random(seed).shuffle(order)
    rows: list[list[list[int]]] = [[]]
    room = length
    for index in order:
        document = list(documents[index][:length])
        if len(document) > room:
            rows.append([])
            room = length
        rows[-1].append(document)
        room -= len(document)

    input_ids = torch.full((len(rows), length), pad_id)
    labels = torch.full((len(rows), length), -100)
    positions = torch.zeros((len(rows), length), dtype=torch.long)
    for row, members in enumerate(rows):
        start = 0
        for document in members:
            stop = start + len(document)
            input_ids[row, start:stop] = torch.tensor(document)
            labels[row, start + 1 : stop] = torch.tensor(document[1:])
            positions[row, start:stop] = torch.arange(len(document))
            start = stop
        positions[row, start:] = torch.arange(length - start)
    return Blocks(input_ids, labels, positions)


def warm_up_model(
    model: Qwen3ForCausalLM | Qwen2ForCausalLM,
    blocks: Blocks,
    warm_up: WarmUp,
    seed: int,
    progress: Progress | None,
) -> list[float]:
    """Train the model in place on language modelling; return the loss of each step [nats/token]."""
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=warm_up.learning_rate,
        betas=(0.9, 0.95),
        weight_decay=warm_up.weight_decay,
    )
    rise = max(1, warm_up.steps // 10)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, max(1, warm_up.steps - rise), eta_min=warm_up.learning_rate / 10
    )
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, 1 / rise, total_iters=rise)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, cosine], [rise])
    rows_per_step = max(1, warm_up.tokens_per_step // blocks.input_ids_NT.shape[1])
    batches = draw_batches(blocks.input_ids_NT.shape[0], rows_per_step, seed)
    losses: list[float] = []
    model.train()
    for step in range(1, warm_up.steps + 1):
        rows = next(batches)
        loss = model(
            input_ids=blocks.input_ids_NT[rows],
            position_ids=blocks.positions_NT[rows],
            labels=blocks.labels_NT[rows],
            use_cache=False,
        ).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
        if progress is not None:
            progress(step, warm_up.steps, losses[-1])
    model.eval()
    return losses


def draw_batches(rows: int, rows_per_step: int, seed: int) -> Iterator[list[int]]:
    """Yield batches of row numbers for ever; every row comes once before any comes again."""
    generator = random.Random(seed)
    waiting: list[int] = []
    while True:
        while len(waiting) < rows_per_step:
            epoch = list(range(rows))
            generator.shuffle(epoch)
            waiting += epoch
        yield waiting[:rows_per_step]
        waiting = waiting[rows_per_step:]


def save_atomically(
    folder: Path,
    model: Qwen3ForCausalLM | Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    recipe: Mapping[str, Any],
) -> None:
    """Write the checkpoint beside its final place and rename it there, so no half one is seen."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        text = json.dumps(recipe, indent=2, ensure_ascii=False)
        (draft / "tiny.json").write_text(text + "\n", encoding="utf-8")
        try:
            draft.rename(folder)
        except OSError:
            # Another process finished the same model first: its bytes are as good as ours.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


MODEL_CLASSES: dict[str, tuple[Any, Any]] = {
    "tiny-qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "tiny-qwen2": (Qwen2Config, Qwen2ForCausalLM),
}
