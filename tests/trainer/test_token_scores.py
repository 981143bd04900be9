"""Per-token scores: excess surprise is standard normal on own samples, and sums are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tests.trainer.probes.toys import Markov
from trainer.logps import score
from trainer.packing import Item, pack
from trainer.token_scores import CompletionScore, score_tokens

VOCABULARY, LENGTH, COUNT = 40, 25, 400


def markov() -> Markov:
    generator = torch.Generator().manual_seed(0)
    return Markov(2 * torch.randn(VOCABULARY, VOCABULARY, generator=generator))


def written_by(model: Markov, temperature: float) -> list[list[int]]:
    """Sample completions behind the token 0, token by token."""
    generator = torch.Generator().manual_seed(1)
    last = torch.zeros(COUNT, dtype=torch.long)
    tokens = []
    for _ in range(LENGTH):
        probs = (model.table_VV.detach()[last] / temperature).softmax(-1)
        last = torch.multinomial(probs, 1, generator=generator)[:, 0]
        tokens.append(last)
    return torch.stack(tokens, 1).tolist()


def scored(model: Markov, completions: list[list[int]]) -> list[CompletionScore]:
    rows = score_tokens(model, pack([Item([0], [ids]) for ids in completions])).double()
    return [CompletionScore(*own.T.tolist()) for own in rows.split([len(c) for c in completions])]


def test_z_is_standard_normal_on_samples_of_the_policy_itself():
    scores = scored(markov(), written_by(markov(), 1.0))
    z = np.array([one.surprise_z for one in scores])
    assert abs(z.mean()) < 3 / math.sqrt(COUNT)
    assert abs(z.std() - 1) < 3 / math.sqrt(2 * COUNT)
    # Normal to within what 400 draws can show: 5 % lie beyond 1.96.
    assert abs((np.abs(z) > 1.96).mean() - 0.05) < 3 * math.sqrt(0.05 * 0.95 / COUNT)
    surprise = np.array([one.surprise for one in scores])
    assert abs(surprise.mean()) < 3 * surprise.std() / math.sqrt(COUNT)


def test_text_of_others_has_positive_and_cooled_text_negative_surprise():
    foreign = [one.surprise_z for one in scored(markov(), written_by(markov(), 4.0))]
    cooled = [one.surprise_z for one in scored(markov(), written_by(markov(), 0.3))]
    own = [one.surprise_z for one in scored(markov(), written_by(markov(), 1.0))]
    assert min(foreign) > 0 > max(cooled)
    higher = np.mean([[a > b for b in own] for a in foreign])
    assert higher > 0.99  # the area under the curve that tells them apart


def test_columns_are_the_moments_of_log_p_by_hand():
    probs = torch.tensor([0.5, 0.3, 0.1996, 0.0004], dtype=torch.float64)
    model = Markov(probs.log().repeat(4, 1))
    (one,) = scored(model, [[0, 1, 3]])
    logs = [math.log(p) for p in probs.tolist()]
    entropy = -sum(p * v for p, v in zip(probs.tolist(), logs, strict=True))
    variance = sum(p * (v + entropy) ** 2 for p, v in zip(probs.tolist(), logs, strict=True))
    assert one.logps == pytest.approx([logs[0], logs[1], logs[3]])
    assert one.entropy == pytest.approx([entropy] * 3)
    assert one.variance == pytest.approx([variance] * 3)
    assert one.mean_argmax_logps == pytest.approx(logs[0])
    assert one.top1_rate == pytest.approx(1 / 3)
    assert one.valley == pytest.approx(1 / 3)
    assert one.surprise == pytest.approx(-(logs[0] + logs[1] + logs[3]) / 3 - entropy)
    assert one.surprise_z == pytest.approx(one.surprise * 3 / math.sqrt(3 * variance))


def test_an_unlikely_token_that_is_the_most_likely_one_lies_in_no_valley():
    flat = Markov(torch.zeros(2000, 2000))
    (one,) = scored(flat, [[5, 6]])
    assert one.logps[0] < math.log(1e-3)
    assert one.valley == 0
    assert math.isnan(one.surprise_z) or abs(one.surprise_z) < 10  # no spread at all


def test_sums_over_tokens_are_the_training_scores():
    model = markov()
    items = [Item([0], [[1, 2, 3], [4]]), Item([5, 6], [[7, 8]])]
    batch = pack(items)
    sums, rows = score(model, batch), score_tokens(model, batch)
    for place in range(3):
        own = CompletionScore(*rows[batch.completion_R == place].T.tolist())
        assert own.total == pytest.approx(float(sums.logps_C[place].detach()), rel=1e-6)
        assert own.mean_entropy * own.tokens == pytest.approx(
            float(sums.entropy_C[place]), rel=1e-5
        )
        assert own.top1_rate * own.tokens == pytest.approx(float(sums.top1_C[place]))


def test_a_token_that_cannot_occur_adds_nothing_to_the_moments():
    table = torch.zeros(3, 3)
    table[:, 2] = -math.inf
    (one,) = scored(Markov(table), [[0, 1]])
    assert one.entropy == pytest.approx([math.log(2)] * 2)
    assert one.variance == pytest.approx([0, 0], abs=1e-12)
