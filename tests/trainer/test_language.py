from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from statistics import mean

import pytest

from trainer import language
from trainer.config import TrainConfig
from trainer.language import SETTINGS, Setting, make_pairs, true_reward, warmup_texts

PLAIN = Setting(name="plain", description="", regime=None, warm_up_documents=300)


def texts(rows: list[language.Row], side: str) -> list[str]:
    return [row[side][0]["content"] for row in rows]


def sentences(text: str) -> list[str]:
    return text.rstrip(".").split(". ")


def style_words(text: str) -> list[str]:
    return [word for word in text.lower().replace(".", "").split() if word in STYLE_OF]


STYLE_OF = {
    word: style
    for by_style in language.STYLE_WORDS.values()
    for style, words in by_style.items()
    for word in words
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_same_seed_gives_the_same_texts_and_another_seed_gives_others(setting):
    assert make_pairs(setting, 3, 20) == make_pairs(setting, 3, 20)
    assert warmup_texts(setting, 3) == warmup_texts(setting, 3)
    # The first adjective does not depend on the prompt, which another seed changes anyway.
    first, other = (
        [style_words(text)[0] for text in texts(make_pairs(setting, seed, 20), "chosen")]
        for seed in (3, 4)
    )
    assert first != other
    assert warmup_texts(setting, 3) != warmup_texts(setting, 4)


def test_fewer_pairs_are_the_first_of_more():
    assert make_pairs(PLAIN, 0, 10) == make_pairs(PLAIN, 0, 40)[:10]


def test_rows_are_conversations_of_a_prompt_and_two_different_completions():
    for row in make_pairs(PLAIN, 0):
        assert [turn["role"] for turn in row["prompt"]] == ["user"]
        for side in ("chosen", "rejected"):
            assert [turn["role"] for turn in row[side]] == ["assistant"]
            assert row[side][0]["content"].endswith(".")
        assert row["chosen"] != row["rejected"]
    assert len(make_pairs(PLAIN, 0)) == PLAIN.pairs


def test_a_thousand_prompts_are_all_different():
    prompts = [row["prompt"][0]["content"] for row in make_pairs(PLAIN, 0, 1000)]
    assert len(set(prompts)) == 1000


def test_every_word_of_the_style_tables_has_one_part_of_speech_and_one_style():
    words = [
        word
        for by_style in language.STYLE_WORDS.values()
        for group in by_style.values()
        for word in group
    ]
    words += [noun for nouns in language.TOPICS.values() for noun in nouns]
    words += [*language.DETERMINERS, *language.CONNECTIVES]
    assert [word for word, count in Counter(words).items() if count > 1] == []


@pytest.mark.parametrize("style", language.STYLES)
@pytest.mark.parametrize("part", language.STYLE_WORDS)
def test_transitions_are_distributions_that_put_the_rest_of_the_overlap_on_their_own_words(
    style, part
):
    for overlap in (0.2, 0.9):
        chain = language.transitions(style, part, "pond", overlap)
        shared = language.tilt("shared", part, "pond")
        own = language.STYLE_WORDS[part][style]
        assert sum(chain.values()) == pytest.approx(1.0)
        excess = sum(chain[word] - overlap * shared[word] for word in own)
        assert excess == pytest.approx(1.0 - overlap)


def test_sampled_words_follow_the_transitions_that_the_reward_is_computed_from():
    following = Counter(
        after
        for text in texts(make_pairs(PLAIN, 0, 1500), "chosen")
        for sentence in sentences(text.lower())
        for before, after in pairwise(sentence.split())
        if before == "the"
    )
    total = sum(following.values())
    for word, probability in language.transitions("A", "adjective", "the", 0.5).items():
        assert following[word] / total == pytest.approx(probability, abs=0.02)


def test_the_reward_is_the_log_odds_of_the_two_chains_worked_out_by_hand():
    shared = language.tilt("shared", "adjective", "the")
    own = language.tilt("A", "adjective", "the")
    odds = (0.3 * shared["kind"] + 0.7 * own["kind"]) / (0.3 * shared["kind"])
    assert true_reward("The kind pond", overlap=0.3) == pytest.approx(math.log(odds))
    assert true_reward("The small pond holds") == 0.0
    both = true_reward("The kind pond.") + true_reward("One cruel bee.")
    assert true_reward("The kind pond. One cruel bee.") == pytest.approx(both)


def test_the_mark_of_the_format_changes_no_reward():
    plain = make_pairs(PLAIN, 0, 20)
    marked = make_pairs(replace(PLAIN, chosen_format=1.0), 0, 20)
    assert [true_reward(text) for text in texts(plain, "chosen")] == pytest.approx(
        [true_reward(text) for text in texts(marked, "chosen")]
    )


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_true_reward_orders_chosen_above_rejected(setting):
    rows = make_pairs(setting, 1, 300)
    ordered = [
        true_reward(chosen, setting.overlap) > true_reward(rejected, setting.overlap)
        for chosen, rejected in zip(texts(rows, "chosen"), texts(rows, "rejected"), strict=True)
    ]
    assert mean(ordered) > 0.95


def test_label_noise_exchanges_the_sides_of_that_share_of_the_pairs_and_nothing_else():
    clean = make_pairs(PLAIN, 0, 1000)
    noisy = make_pairs(replace(PLAIN, label_noise=0.3), 0, 1000)
    exchanged = 0
    for right, row in zip(clean, noisy, strict=True):
        if row != right:
            assert (row["chosen"], row["rejected"]) == (right["rejected"], right["chosen"])
            exchanged += 1
    assert exchanged / 1000 == pytest.approx(0.3, abs=0.05)


def test_lengths_are_counted_in_sentences_on_each_side():
    rows = make_pairs(replace(PLAIN, chosen_sentences=2, rejected_sentences=5), 0, 30)
    assert {len(sentences(text)) for text in texts(rows, "chosen")} == {2}
    assert {len(sentences(text)) for text in texts(rows, "rejected")} == {5}


@pytest.mark.parametrize("edits", [1, 4])
def test_a_near_duplicate_differs_from_chosen_in_exactly_that_many_words(edits):
    for row in make_pairs(replace(PLAIN, edits=edits), 0, 50):
        chosen, rejected = (row[side][0]["content"].split() for side in ("chosen", "rejected"))
        changed = [new for old, new in zip(chosen, rejected, strict=True) if old != new]
        assert len(changed) == edits
        assert all(STYLE_OF[word.rstrip(".")] == "B" for word in changed)


def test_a_near_duplicate_is_continued_or_cut_to_its_own_length():
    for length in (2, 5):
        setting = replace(PLAIN, edits=1, rejected_sentences=length)
        for row in make_pairs(setting, 0, 20):
            assert len(sentences(row["rejected"][0]["content"])) == length


def test_more_overlap_makes_the_sides_harder_to_tell_apart():
    gaps = []
    for overlap in (0.2, 0.5, 0.9):
        rows = make_pairs(replace(PLAIN, overlap=overlap), 0, 100)
        gaps.append(
            mean(true_reward(text, overlap) for text in texts(rows, "chosen"))
            - mean(true_reward(text, overlap) for text in texts(rows, "rejected"))
        )
    assert gaps[0] > gaps[1] > gaps[2] > 0.0


def test_the_format_marks_the_given_share_of_the_sentences_of_each_side():
    rows = make_pairs(replace(PLAIN, chosen_format=1.0, rejected_format=0.5), 0, 300)
    for side, share in (("chosen", 1.0), ("rejected", 0.5)):
        marks = sum(text.count(language.MARK) for text in texts(rows, side))
        assert marks / (300 * 3) == pytest.approx(share, abs=0.06)


def test_a_novel_format_is_absent_from_the_warm_up_while_its_words_are_known():
    novel = replace(PLAIN, chosen_format=1.0)
    completions = [document[-1]["content"] for document in warmup_texts(novel, 0)]
    assert not any(language.MARK in text for text in completions)
    assert set(language.MARK.split()) <= set(completions[0].split())
    known = warmup_texts(replace(novel, warm_up_format=0.5), 0)
    share = mean(document[-1]["content"].count(language.MARK) / 3 for document in known)
    assert share == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("shares", "style"), [((1, 0, 0), "A"), ((0, 1, 0), "B"), ((0, 0, 1), "C")]
)
def test_the_styles_of_the_warm_up_are_those_of_its_shares(shares, style):
    documents = warmup_texts(replace(PLAIN, warm_up_styles=shares, overlap=0.1), 0)[2:]
    words = [word for document in documents for word in style_words(document[-1]["content"])]
    assert Counter(STYLE_OF[word] for word in words)[style] / len(words) > 0.9


def test_the_warm_up_repeats_the_sides_of_the_pairs_as_often_as_asked():
    setting = replace(PLAIN, pairs=10, warm_up_chosen=3, warm_up_rejected=1)
    documents = Counter(document[-1]["content"] for document in warmup_texts(setting, 0))
    rows = make_pairs(setting, 0)
    assert {documents[text] for text in texts(rows, "chosen")} == {3}
    assert {documents[text] for text in texts(rows, "rejected")} == {1}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_recommended_training_is_made_of_settings_that_the_trainer_has(setting):
    config = TrainConfig(data="pairs.jsonl", output_dir="run", **setting.training)
    assert config.max_steps >= 3 * config.eval_steps  # a regime needs three evaluations


def test_written_files_hold_the_pairs_and_the_corpus_line_by_line(tmp_path):
    setting = replace(PLAIN, pairs=5)
    pairs, corpus = language.write(setting, 7, tmp_path / "new")
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    documents = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    assert rows == make_pairs(setting, 7)
    assert [document["messages"] for document in documents] == warmup_texts(setting, 7)
