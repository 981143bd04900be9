"""Any causal LM whose attention goes through the library's interface trains; others are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Qwen2Config,
)

from trainer import attention
from trainer.errors import ModelError
from trainer.logps import score
from trainer.models import build_policy, check_packed_layout, disable_dropout
from trainer.packing import Item, pack
from trainer.train import train

SMALL = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
WORKS = {
    "llama": LlamaConfig(**SMALL),
    "mistral": MistralConfig(**SMALL, sliding_window=None),
    "qwen2": Qwen2Config(**SMALL),
    "gpt2": GPT2Config(vocab_size=101, n_embd=32, n_layer=2, n_head=4, n_positions=64),
}
REFUSED = {
    "mamba": MambaConfig(vocab_size=101, hidden_size=32, num_hidden_layers=2, state_size=4),
    "gemma2": Gemma2Config(**SMALL, head_dim=8, attn_logit_softcapping=0.05),
}


def load(config):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention.register())


@pytest.mark.parametrize("family", WORKS)
def test_packed_rows_equal_single_sequences(family):
    model = load(WORKS[family])
    disable_dropout(model)
    check_packed_layout(model, family)


@pytest.mark.parametrize("family", REFUSED)
def test_an_architecture_that_packed_rows_would_get_wrong_is_refused(family):
    with pytest.raises((ModelError, ValueError)) as refusal:
        check_packed_layout(load(REFUSED[family]), family)
    assert "packed" in str(refusal.value) or "attn_implementation" in str(refusal.value)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_packed_rows_run_in_half_precision_under_autocast(family):
    model = load(WORKS[family])
    batch = pack([Item([1, 2, 3], [[4, 5], [6, 7, 8]])])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = score(model, batch).logps_C
    torch.testing.assert_close(half, score(model, batch).logps_C, rtol=2e-2, atol=2e-2)


def test_a_window_shorter_than_the_rows_is_refused(settings, tmp_path):
    config = MistralConfig(**SMALL, sliding_window=64)
    load(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="windows of 64 tokens and --max_length is 1024"):
        build_policy(settings(model=str(tmp_path)), str(tmp_path))
    build_policy(settings(model=str(tmp_path), max_length=64), str(tmp_path))


def test_a_model_with_idle_sampling_settings_can_be_saved_again(settings, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    path = tmp_path / "model" / "generation_config.json"
    path.write_text(json.dumps({"temperature": 0.9, "repetition_penalty": 1.5}), encoding="utf-8")
    train(settings(model=str(tmp_path / "model"), max_steps=1, save_model=True))
    saved = tmp_path / "run" / "model" / "generation_config.json"
    assert json.loads(saved.read_text(encoding="utf-8"))["repetition_penalty"] == 1.5


def test_reference_samples_ignore_the_models_own_sampling_settings(settings, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    path = tmp_path / "model" / "generation_config.json"
    path.write_text(json.dumps({"repetition_penalty": 5.0, "top_k": 1}), encoding="utf-8")
    texts = []
    for name in (str(tiny_model), str(tmp_path / "model")):
        config = settings(model=name, max_steps=1, output_dir=str(tmp_path / str(len(texts))))
        train(config)
        file = Path(config.output_dir) / "probe_set.json"
        texts.append(json.loads(file.read_text(encoding="utf-8"))["samples"])
    assert texts[0] == texts[1]


def test_every_dropout_is_off():
    config = GPT2Config(vocab_size=101, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    model = load(config).train()
    disable_dropout(model)
    batch = pack([Item([1, 2, 3], [[4, 5], [6]])])
    torch.testing.assert_close(score(model, batch).logps_C, score(model, batch).logps_C)


def test_generation_without_a_layout_equals_the_librarys_own_attention():
    config = Qwen2Config(**SMALL)
    ours = load(config)
    theirs = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    theirs.load_state_dict(ours.state_dict())
    prompt = torch.tensor([[1, 2, 3, 4]])
    one, other = (m.generate(prompt, max_new_tokens=8, do_sample=False) for m in (ours, theirs))
    assert one.tolist() == other.tolist()
    padded = torch.tensor([[0, 0, 1, 2], [5, 6, 7, 8]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    one, other = (m(padded, attention_mask=mask).logits[:, -1] for m in (ours, theirs))
    torch.testing.assert_close(one, other)


def test_the_run_records_which_weights_it_began_with(settings):
    config = settings(max_steps=1)
    train(config)
    header = json.loads((Path(config.output_dir) / "run.jsonl").read_text().splitlines()[0])
    assert list(header["model"]["sha256"]) == ["model.safetensors"]
    assert header["data"]["rows"] == 40
    assert header["versions"]["torch"] == torch.__version__
    assert header["seed"] == 0
