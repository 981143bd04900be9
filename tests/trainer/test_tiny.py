from __future__ import annotations

import json
import random
import string
from itertools import pairwise

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from trainer import tiny
from trainer.errors import ModelError
from trainer.tiny import WarmUp, build_tiny

TEXTS = [
    f"The {colour} {thing} is on the {place}."
    for colour in ("red", "green", "blue")
    for thing in ("cup", "book", "coat")
    for place in ("table", "chair", "floor")
]
CHATS = [
    [
        {"role": "user", "content": f"Where is it ({number})?"},
        {"role": "assistant", "content": text},
    ]
    for number, text in enumerate(TEXTS)
]
SHORT = WarmUp(steps=4, tokens_per_step=128)
ARCHITECTURES = {"tiny-qwen3": "Qwen3ForCausalLM", "tiny-qwen2": "Qwen2ForCausalLM"}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_checkpoint_is_an_ordinary_one_of_the_true_architecture(name, tmp_path):
    folder = build_tiny(name, CHATS, tmp_path, warm_up=SHORT)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    attention = model.model.layers[0].self_attn
    assert type(model).__name__ == ARCHITECTURES[name]
    assert 1_000_000 <= model.num_parameters() <= 3_000_000
    assert model.config.num_key_value_heads < model.config.num_attention_heads
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert hasattr(attention, "q_norm") == (name == "tiny-qwen3")
    assert (attention.q_proj.bias is not None) == (name == "tiny-qwen2")
    assert model.config.vocab_size == len(tokenizer) <= 4096
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_a_full_vocabulary_stays_within_three_million_parameters():
    generator = random.Random(0)
    texts = ["".join(generator.choices(string.ascii_lowercase, k=8)) for _ in range(3000)] * 2
    tokenizer = tiny.train_tokenizer(texts, 4096)
    assert len(tokenizer) == 4096
    for name in ARCHITECTURES:
        assert 1_000_000 <= tiny.make_model(name, tokenizer, 0).num_parameters() <= 3_000_000


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(tmp_path):
    folders = [
        build_tiny("tiny-qwen3", TEXTS, tmp_path / str(number), seed=seed, warm_up=SHORT)
        for number, seed in enumerate((5, 5, 6))
    ]
    for file in ("model.safetensors", "tokenizer.json", "config.json", "tiny.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    weights = [(folder / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] != weights[2]


def test_the_initial_weights_depend_on_the_seed():
    tokenizer = tiny.train_tokenizer(TEXTS, 300)
    first, again, other = (
        tiny.make_model("tiny-qwen3", tokenizer, seed).lm_head.weight for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_building_leaves_the_global_random_state_alone(tmp_path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    build_tiny("tiny-qwen3", TEXTS, tmp_path, warm_up=SHORT)
    assert torch.equal(torch.rand(3), expected)


def test_the_second_use_takes_the_checkpoint_from_the_cache(tmp_path):
    steps: list[tuple[int, int]] = []
    first = build_tiny(
        "tiny-qwen3", TEXTS, tmp_path, warm_up=SHORT, progress=lambda s, n, _: steps.append((s, n))
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    second = build_tiny(
        "tiny-qwen3", TEXTS, tmp_path, warm_up=SHORT, progress=lambda s, n, _: steps.append((s, n))
    )
    assert second == first
    assert len(steps) == 4


def test_every_setting_and_every_text_belongs_to_the_name_in_the_cache():
    recipes = [
        tiny.describe_recipe("tiny-qwen3", TEXTS, 0, SHORT, 4096),
        tiny.describe_recipe("tiny-qwen2", TEXTS, 0, SHORT, 4096),
        tiny.describe_recipe("tiny-qwen3", TEXTS[1:], 0, SHORT, 4096),
        tiny.describe_recipe("tiny-qwen3", TEXTS, 1, SHORT, 4096),
        tiny.describe_recipe("tiny-qwen3", TEXTS, 0, WarmUp(steps=5, tokens_per_step=128), 4096),
        tiny.describe_recipe("tiny-qwen3", TEXTS, 0, SHORT, 512),
        tiny.describe_recipe("tiny-qwen3", CHATS, 0, SHORT, 4096),
    ]
    assert len({recipe["hash"] for recipe in recipes}) == len(recipes)


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("SEESAW_CACHE", str(tmp_path))
    assert build_tiny("tiny-qwen3", TEXTS, warm_up=SHORT).parent == tmp_path


def test_an_interrupted_build_leaves_nothing_behind_that_looks_like_a_model(tmp_path):
    def interrupt(step: int, steps: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_tiny("tiny-qwen3", TEXTS, tmp_path, warm_up=SHORT, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_another_process_finished_first_is_kept(tmp_path):
    folder = build_tiny("tiny-qwen3", TEXTS, tmp_path / "a", warm_up=SHORT)
    before = (folder / "model.safetensors").stat().st_mtime_ns
    tokenizer = tiny.train_tokenizer(TEXTS, 300)
    model = tiny.make_model("tiny-qwen3", tokenizer, 1)
    tiny.save_atomically(folder, model, tokenizer, {})
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_the_record_says_how_the_model_was_made(tmp_path):
    folder = build_tiny("tiny-qwen3", TEXTS, tmp_path, seed=2, warm_up=SHORT)
    record = json.loads((folder / "tiny.json").read_text(encoding="utf-8"))
    assert (record["name"], record["seed"], record["documents"]) == ("tiny-qwen3", 2, len(TEXTS))
    assert record["warm_up"]["steps"] == 4


def test_the_warm_up_learns_the_texts(tmp_path):
    warm_up = WarmUp(steps=20, tokens_per_step=128, learning_rate=4e-3)
    losses: list[float] = []
    build_tiny(
        "tiny-qwen3",
        TEXTS,
        tmp_path,
        warm_up=warm_up,
        progress=lambda *step: losses.append(step[2]),
    )
    # 27 texts of nine words that differ in three of them: far below the uniform guess.
    assert losses[0] > 4.0
    assert losses[-1] < 1.0


def test_the_tokenizer_gives_every_text_back_and_knows_repeated_words():
    tokenizer = tiny.train_tokenizer(TEXTS, 4096)
    for text in ("The red cup", " wörld\n\n  12 日本 ", "a\tb"):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer(" table")["input_ids"]) == 1


def test_the_chat_template_ends_an_answer_with_eos_and_prefixes_it_with_the_generation_prompt():
    tokenizer = tiny.train_tokenizer(TEXTS, 4096)
    prompt = tokenizer.apply_chat_template(CHATS[0][:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(CHATS[0], tokenize=False)
    assert whole == prompt + CHATS[0][1]["content"] + tokenizer.eos_token + "\n"


def test_texts_end_with_eos_and_conversations_as_the_template_ends_them():
    tokenizer = tiny.train_tokenizer(TEXTS, 4096)
    text, chat = tiny.tokenize_documents(tokenizer, [TEXTS[0], CHATS[0]])
    assert text[-1] == tokenizer.eos_token_id
    assert chat.count(tokenizer.eos_token_id) == 2
    assert tokenizer.decode(chat) == tokenizer.apply_chat_template(CHATS[0], tokenize=False)


def test_blocks_hold_every_token_once_and_score_all_but_the_first_of_a_document():
    documents = [[10 * d + t for t in range(1, 4 + d % 5)] for d in range(40)]
    blocks = tiny.pack_blocks(documents, pad_id=0, seed=0)
    tokens = sorted(token for document in documents for token in document)
    scored = sorted(token for document in documents for token in document[1:])
    assert sorted(blocks.input_ids_NT[blocks.input_ids_NT > 0].tolist()) == tokens
    assert sorted(blocks.labels_NT[blocks.labels_NT != -100].tolist()) == scored
    assert blocks.input_ids_NT.shape[1] == tiny.SHORTEST_BLOCK


def test_a_long_document_is_cut_at_the_longest_block():
    blocks = tiny.pack_blocks([list(range(1, 2000))], pad_id=0, seed=0)
    assert blocks.input_ids_NT.tolist() == [list(range(1, tiny.LONGEST_BLOCK + 1))]


def test_documents_in_one_block_do_not_see_each_other():
    tokenizer = tiny.train_tokenizer(TEXTS, 4096)
    model = tiny.make_model("tiny-qwen3", tokenizer, 0).eval()
    documents = tiny.tokenize_documents(tokenizer, TEXTS[:3])
    blocks = tiny.pack_blocks(documents, tokenizer.pad_token_id, seed=0)
    with torch.no_grad():
        packed = model(
            input_ids=blocks.input_ids_NT, position_ids=blocks.positions_NT, use_cache=False
        ).logits[0]
        starts = (blocks.positions_NT[0] == 0).nonzero().flatten().tolist()
        for start, stop in pairwise(starts):
            alone = model(input_ids=blocks.input_ids_NT[:1, start:stop]).logits[0]
            assert torch.allclose(packed[start:stop], alone, atol=1e-4)
    assert len(starts) == 4


def test_every_block_is_used_once_before_any_is_used_again():
    batches = tiny.draw_batches(7, 3, seed=0)
    drawn = [row for _ in range(7) for row in next(batches)]
    assert [sorted(drawn[start : start + 7]) for start in (0, 7, 14)] == [list(range(7))] * 3
    assert drawn[:7] != drawn[7:14]


def test_an_unknown_name_and_missing_texts_are_errors_that_say_so(tmp_path):
    with pytest.raises(ModelError, match="expected one of tiny-qwen3, tiny-qwen2"):
        build_tiny("tiny-llama", TEXTS, tmp_path)
    with pytest.raises(ModelError, match="found none"):
        build_tiny("tiny-qwen3", [], tmp_path)
