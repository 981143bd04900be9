"""The texts beside the pair tables: whole, in order, and under the keys of the numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from diagnostics.readers import read
from diagnostics.runlog import read_pairs
from trainer import pair_texts
from trainer.config import TrainConfig
from trainer.data import Example
from trainer.probes.contract import ProbeSet
from trainer.train import train

CHARACTERS = "the 日本 bird 🙂 sings é\n\nred"


def test_pieces_join_to_the_completion_and_show_a_split_character_once(tiny_tokenizer) -> None:
    ids = tiny_tokenizer(CHARACTERS)["input_ids"]
    found = pair_texts.pieces(ids, tiny_tokenizer)
    assert len(found) == len(ids)
    assert "".join(found) == CHARACTERS
    assert "🙂" in "".join(found)
    assert not any(pair_texts.INCOMPLETE in piece for piece in found)
    # A completion cut inside a character shows that something is missing.
    cut = tiny_tokenizer("🙂")["input_ids"][:-1]
    assert pair_texts.pieces(cut, tiny_tokenizer)[-1] == pair_texts.INCOMPLETE
    assert pair_texts.pieces([], tiny_tokenizer) == []


def test_a_tokenizer_that_cuts_the_first_blank_off_keeps_it_elsewhere() -> None:
    words = {"▁the": 0, "▁cat": 1, "s": 2}
    core = Tokenizer(models.WordLevel(words, unk_token="s"))
    core.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core)
    assert pair_texts.pieces([0, 1, 2, 1], tokenizer) == ["the", " cat", "s", " cat"]


def test_an_unpaired_example_has_one_empty_side() -> None:
    liked = Example([1], ((2,),), (True,), 7, "why", ("because",))
    hated = Example([1], ((3,),), (False,), 8, "why", ("no",))
    found = pair_texts.probe_texts(ProbeSet((liked,), (hated,), ()))
    assert found["split"] == ["train", "held_out"]
    assert found["pair"] == [7, 8]
    assert found["text/chosen"] == ["because", ""]
    assert found["text/rejected"] == ["", "no"]
    assert found["prompt"][0] == found["prompt"][1]


@pytest.mark.parametrize("logged", [True, False])
def test_a_training_leaves_the_texts_of_its_pairs_unless_told_not_to(
    logged: bool, tmp_path: Path, tiny_model: Path, pairs_file: Path
) -> None:
    config = TrainConfig(
        model=str(tiny_model),
        data=str(pairs_file),
        output_dir=str(tmp_path / "run"),
        max_steps=1,
        eval_steps=0,
        probe_pairs=4,
        probe_samples=0,
        probe_token_pairs=2,
        probe_entanglement_pairs=0,
        probe_virtual_steps=0,
        save_model=False,
        use_cpu=True,
        log_texts=logged,
    )
    run = read(train(config))
    assert ("texts" in run.tables) is logged
    assert bool(read_pairs(tmp_path / "run", "train_texts").num_rows) is logged
    if not logged:
        return
    keys = ["split", "pair"]
    scored = run.probes[run.probes["step"] == 0].set_index(keys)
    texts = run.tables["texts"].set_index(keys)
    assert sorted(texts.index) == sorted(scored.index)
    assert texts["prompt"].to_dict() == scored["prompt"].to_dict()
    numbers = run.tables["tokens"]
    pieces = run.tables["token_texts"]
    places = ["split", "pair", "side", "position"]
    first = numbers[numbers["step"] == 0]
    assert len(first.merge(pieces, on=places)) == len(first) > 0
    for (split, pair, side), own in pieces.groupby(["split", "pair", "side"]):
        written = "".join(own.sort_values("position")["text"])
        assert written.strip().startswith(texts.loc[(split, pair), f"text/{side}"].strip())
    assert read_pairs(tmp_path / "run", "train_texts").num_rows == 36
