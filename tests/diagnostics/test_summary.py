"""What a comparison comes to: sentences in order, many runs against the first, seeds together."""

from __future__ import annotations

from dataclasses import replace

from diagnostics.contrasts import contrasts
from diagnostics.examples import example
from diagnostics.phases import name_regime
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
    assert found.beyond
    assert all(text.endswith(", beyond noise") for text in found.beyond)
    assert found.within
    assert all(text.endswith((", within noise", ", too small to count")) for text in found.within)


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


def test_the_headlines_name_regimes_leaders_the_price_of_the_margin_and_settings() -> None:
    found = summarise(runs("ideal", "both_fall", "both_rise"))
    regimes, chosen, rejected, margin, drift, price, settings = found.headlines
    assert regimes == (
        "chosen rises and rejected falls in ideal; both sides rise in both_rise; both sides fall "
        "in both_fall"
    )
    assert chosen.startswith("both_rise keeps chosen highest: 0.20, 95 % 0.")
    assert chosen.endswith("nats per token from ideal, the next, beyond noise")
    assert rejected.startswith("both_fall keeps rejected lowest: 0.45")
    assert margin.startswith("ideal has the largest margin: 0.10") or "noise" in margin
    assert drift == "the drift: no difference beyond noise between ideal, both_fall and both_rise"
    assert price.startswith("for each nat of drift, ideal gained most margin (12.0")
    assert settings == "the settings that the logs state do not differ"


def test_many_runs_are_told_by_how_they_stand_to_the_first() -> None:
    found = summarise(runs("ideal", "both_fall", "both_rise", "reversed", "margin_loss"))
    chosen = next(text for text in found.headlines if text.startswith("against ideal, chosen"))
    assert "higher in both_rise (+0.20)" in chosen
    assert "and lower in both_fall (-0.55), margin_loss (-0.55) and reversed (-0.45)" in chosen


def test_refusals_of_one_reason_are_one_sentence() -> None:
    several = runs("ideal", "both_fall", "both_rise", "reversed", "margin_loss")
    several[1:] = [replace(one, probes=one.probes.assign(prompt="else")) for one in several[1:]]
    (only,) = summarise(several).refused
    assert only.startswith("ideal and both_fall, both_rise, reversed and margin_loss are not comp")


def test_runs_of_one_name_are_told_apart_in_every_sentence() -> None:
    one, other = runs("ideal", "both_fall")
    found = summarise([one, replace(other, name="ideal")])
    assert found.sentences[0].startswith("ideal #2 minus ideal at step 200: chosen -0.5")


def test_why_a_margin_has_no_price_is_said() -> None:
    one, other = runs("ideal", "both_fall")
    found = summarise(
        [
            replace(one, samples=one.samples.iloc[:0]),
            replace(other, probes=other.probes.iloc[:0]),
        ]
    )
    assert found.unknown == {
        "ideal": "no reference samples at the last evaluation",
        "both_fall": "no probe set",
    }


def test_known_verdicts_are_not_worked_out_again() -> None:
    several = runs("ideal", "both_fall")
    verdicts = [name_regime(run) for run in several]
    assert summarise(several, verdicts=verdicts) == summarise(several)
    assert summarise(several, verdicts=verdicts).rows[0].verdict is verdicts[0]


def test_what_logs_alone_can_say_is_said_with_its_condition() -> None:
    one, other = (replace(run, probes=run.probes.iloc[:0]) for run in runs("ideal", "both_fall"))
    found = summarise([one, other])
    assert found.contrasts[0].differences
    assert "the same model on the same data" in found.headlines[-1]
    assert "the same model" not in " ".join(summarise(runs("ideal", "both_fall")).headlines)
