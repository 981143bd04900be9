"""What a comparison comes to: sentences in order, many runs against the first, seeds together."""

from __future__ import annotations

from dataclasses import replace

from diagnostics.contrasts import contrasts
from diagnostics.examples import example
from diagnostics.run import Run
from diagnostics.summary import summarise


def runs(*regimes: str) -> list[Run]:
    """Return runs that were scored on the same pairs, one a regime, named by it."""
    return [replace(example(regime, name=regime), name=regime) for regime in regimes]


def test_what_is_beyond_noise_comes_first_and_quotes_its_interval() -> None:
    found = summarise(runs("ideal", "both_fall"))
    assert found.sentences[0].startswith("both_fall minus ideal at step 200: chosen -0.5")
    assert "nats per token, beyond noise" in found.sentences[0]
    ends = [text.endswith("beyond noise") for text in found.sentences if " minus " in text]
    assert ends == sorted(ends, reverse=True)


def test_runs_on_other_pairs_are_refused_with_what_can_be_had() -> None:
    one, other = runs("ideal", "both_fall")
    other = replace(other, probes=other.probes.assign(prompt="elsewhere"))
    found = summarise([one, other])
    assert any("scored on other probe pairs; what can be had" in text for text in found.sentences)


def test_many_runs_are_held_against_the_first() -> None:
    found = summarise(runs("ideal", "both_fall", "both_rise", "mixed", "margin_loss"))
    assert [one.first for one in found.contrasts] == ["ideal"] * 4
    assert len(summarise(runs("ideal", "both_fall", "both_rise")).contrasts) == 3


def test_many_runs_are_looked_at_with_the_caution_of_so_many_looks() -> None:
    several = runs("ideal", "both_fall", "both_rise", "mixed", "margin_loss")
    pairs = [(0, other) for other in range(1, 5)]
    assert summarise(several).contrasts == contrasts(several, "step", pairs)
    assert contrasts(several, "step", pairs[:1])[0].differences[0].interval == (
        summarise(several).contrasts[0].differences[0].interval
    )


def test_seeds_of_one_setting_are_put_together() -> None:
    same = [example("ideal", seed, name=f"s{seed}") for seed in range(3)]
    found = summarise(same)
    assert [group.runs for group in found.groups] == [("s0", "s1", "s2")]
    assert any(text.startswith("over 3 seeds (s0, s1, s2): chosen") for text in found.sentences)
    assert set(found.settings) == {"seed"}


def test_one_run_compares_to_nothing() -> None:
    assert summarise(runs("ideal")).sentences == ()
