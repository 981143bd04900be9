"""The texts behind the pair tables, written once: a reader of logs has no tokenizer.

A table of numbers says which pair fell; only its text says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainer.data import Example
from trainer.probes.contract import ProbeSet, prompt_key, side

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from trainer.setup import Training

# What byte-level tokenizers write for bytes that are not a whole character yet.
INCOMPLETE = "\ufffd"


def write(run: Training) -> None:
    """Write the texts of the probe set, and of the training pairs where these are recorded."""
    if not run.config.log_texts:
        return
    scored = run.probes.train[: run.config.probe_token_pairs]
    run.sinks.write_probe("texts", 0, probe_texts(run.probes))
    run.sinks.write_probe("token_texts", 0, token_texts(scored, run.tokenizer))
    if run.config.log_pairs:
        run.sinks.write_probe("train_texts", 0, texts(run.train))


def probe_texts(probe_set: ProbeSet) -> dict[str, list[Any]]:
    """Return the table "texts": prompt and completions of every probe example, train ones first."""
    columns: dict[str, list[Any]] = {"split": []}
    both = (("train", probe_set.train), ("held_out", probe_set.held_out))
    for split, examples in both:
        columns["split"] += [split] * len(examples)
        for name, values in texts(examples).items():
            columns.setdefault(name, []).extend(values)
    return columns


def texts(examples: Sequence[Example]) -> dict[str, list[Any]]:
    """Return one row an example; the side that an unpaired example lacks is empty."""
    columns: dict[str, list[Any]] = {
        "pair": [example.index for example in examples],
        "prompt": [prompt_key(example) for example in examples],
        "prompt_text": [example.prompt_text for example in examples],
    }
    for label in (True, False):
        columns[f"text/{side(label)}"] = [
            "".join(
                text
                for text, own in zip(example.completion_texts, example.labels, strict=True)
                if own is label
            )
            for example in examples
        ]
    return columns


def token_texts(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase
) -> dict[str, list[Any]]:
    """Return the table "token_texts": one row a completion token, under the keys of "tokens"."""
    columns: dict[str, list[Any]] = {
        name: [] for name in ("pair", "position", "split", "side", "text")
    }
    for example in examples:
        for ids, label in zip(example.completions, example.labels, strict=True):
            columns["pair"] += [example.index] * len(ids)
            columns["position"] += range(len(ids))
            columns["split"] += ["train"] * len(ids)
            columns["side"] += [side(label)] * len(ids)
            columns["text"] += pieces(ids, tokenizer)
    return columns


def pieces(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the text that each token adds; joined they are the decoded completion.

    A character of several tokens stands at its last one, the others are empty. Each token is
    decoded behind the one before it, because some tokenizers cut the blank off a first token.
    """
    found: list[str] = []
    start = read = 0
    for end in range(1, len(ids) + 1):
        before, now = (_decoded(ids[start:stop], tokenizer) for stop in (read, end))
        if now.endswith(INCOMPLETE) and end < len(ids):
            found.append("")
            continue
        found.append(now[len(before) :])
        start, read = read, end
    return found


def _decoded(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)) if ids else ""
