"""What holds of every pathology; the tests run over the family's tuple."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache, partial
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.examples import example, nan_ridden
from diagnostics.methods import METHODS
from diagnostics.pathologies import PATHOLOGIES, explanation, sections
from diagnostics.pathologies.contract import HEADINGS, Pathology
from diagnostics.reading import Reading
from diagnostics.regimes import Regime
from diagnostics.run import Run, Source
from diagnostics.synthetic_logs import logged_run
from diagnostics.verdicts import Evidence, Status, Verdict
from tests.diagnostics.test_run import runs

SEEDS = range(5)
SOURCE = Source(path="", reader="native", framework="synthetic")
every = pytest.mark.parametrize("pathology", PATHOLOGIES, ids=lambda one: one.name)

# Methods that have no such thing, by pathology; every other method can have it.
UNPAIRED = {name for name, method in METHODS.items() if not method.paired}
NO_REFERENCE = {name for name, method in METHODS.items() if not method.reference}
NOT_APPLICABLE: dict[str, set[str]] = {
    "reversed": {"sft"},
    "margin_loss": {"sft"},
    "ranking_mismatch": UNPAIRED,
    "label_flips": UNPAIRED,
    "near_duplicates": UNPAIRED,
    "reference_mismatch": NO_REFERENCE,
    "saturation": {"sft"},
    "surface_cue": UNPAIRED | {"sft"},
    "kto_imbalance": {*METHODS} - {"kto"},
    "kl_stuck": {*METHODS} - {"kto"},
}
# Healthy runs: methods of every family, with and without a probe set.
FAMILY = ("dpo", "ipo", "kto", "orpo", "simpo")


@cache
def healthy(kind: str, seed: int) -> Reading:
    """Return a reading that all pathologies share, since its facts are worked out once."""
    return Reading(HEALTHY[kind](seed))


def checked(pathology: Pathology, run: Run) -> Verdict:
    return pathology.check(Reading(run))


def empty(method: str | None) -> Run:
    return Run(name="empty", method=method, source=SOURCE)


# Healthy runs.


def log(seed: int, method_name: str) -> Run:
    return logged_run(0.2, -0.3, method_name=method_name, seed=seed)


HEALTHY = {
    **{f"probe-{m}": partial(example, Regime.IDEAL, method_name=m) for m in FAMILY},
    **{f"log-{m}": partial(log, method_name=m) for m in FAMILY},
}


@every
@pytest.mark.parametrize("kind", HEALTHY)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_healthy_run_gives_no_alarm(pathology: Pathology, kind: str, seed: int) -> None:
    verdict = pathology.check(healthy(kind, seed))
    assert not verdict.status.is_alarm, verdict.sentence
    assert verdict.advice == ()
    assert verdict.severity is None


# Runs that have it.


@every
@pytest.mark.parametrize("seed", SEEDS)
def test_its_own_example_has_it(pathology: Pathology, seed: int) -> None:
    verdict = checked(pathology, pathology.example(seed))
    assert verdict.pathology == pathology.name
    assert verdict.status is Status.PRESENT, verdict.sentence


@every
def test_the_sentence_of_an_alarm_quotes_its_evidence_with_units(pathology: Pathology) -> None:
    verdict = checked(pathology, pathology.example(0))
    assert verdict.evidence
    assert [one for one in verdict.evidence if not quotes(verdict.sentence, one)] == []


def quotes(sentence: str, evidence: Evidence) -> bool:
    """Tell whether a sentence holds the value, rounded at most to 5 %, and the unit."""
    found = re.findall(r"[-+−]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", sentence)
    numbers = [float(text.replace(",", "").replace("−", "-")) for text in found]
    # A fraction may be written in per cent, and a fall of 0.3 as "fell by 0.3".
    values = [evidence.value, -evidence.value]
    if evidence.unit.startswith("fraction"):
        values.append(100 * evidence.value)
    close = any(abs(n - v) <= 0.05 * abs(v) + 5e-4 for n, v in product(numbers, values))
    written = [evidence.unit, evidence.unit.replace(" per ", "/")]
    written += ["%"] if evidence.unit.startswith("fraction") else []
    return close and any(unit in sentence for unit in written)


def test_a_sentence_without_the_number_or_the_unit_is_seen() -> None:
    one = Evidence("Δ chosen", -0.3, "nats per token")
    assert quotes("chosen −0.30 nats per token", one)
    assert not quotes("chosen −0.40 nats per token", one)
    assert not quotes("chosen −0.30", one)


# Runs that cannot have it, or cannot tell.


@every
@pytest.mark.parametrize("method", [None, "dpo"])
def test_an_empty_run_cannot_tell(pathology: Pathology, method: str | None) -> None:
    method = "kto" if "dpo" in NOT_APPLICABLE.get(pathology.name, ()) and method else method
    verdict = checked(pathology, empty(method))
    assert verdict.status is Status.UNKNOWN
    assert verdict.sentence.startswith("cannot tell: ")


@every
@pytest.mark.parametrize("method", METHODS)
def test_it_applies_to_the_methods_that_can_have_it(pathology: Pathology, method: str) -> None:
    verdict = checked(pathology, empty(method))
    foreign = method in NOT_APPLICABLE.get(pathology.name, ())
    assert (verdict.status is Status.NOT_APPLICABLE) is foreign


@every
@pytest.mark.parametrize("records", [1, 3, 5])
def test_fewer_than_six_records_never_make_an_alarm_of_noise(
    pathology: Pathology, records: int
) -> None:
    run = logged_run(-0.6, -0.9, every=400 // records)
    assert len(run.train) == records
    assert checked(pathology, run).status is not Status.PRESENT


# Any run at all.


@every
@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_that_are_lost_raise_nothing(pathology: Pathology, seed: int) -> None:
    assert checked(pathology, nan_ridden(seed)).sentence


@st.composite
def damaged(draw: st.DrawFn) -> Run:
    """Return a log some of whose numbers are broken, huge, constant or missing."""
    method = draw(st.sampled_from(FAMILY))
    records = draw(st.integers(0, 30))
    run = logged_run(0.1, -0.1, method_name=method, steps=30, every=1, batch=2)
    train = run.train.iloc[:records].copy()
    values = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e300, -1e300, 1e-300])
    for column in draw(st.sets(st.sampled_from(sorted(train.columns)))):
        at = draw(st.lists(st.booleans(), min_size=records, max_size=records))
        train.loc[train.index[np.array(at, dtype=bool)], column] = draw(values)
    dropped = draw(st.sets(st.sampled_from(sorted(train.columns)), max_size=3))
    config = draw(st.dictionaries(st.sampled_from(sorted(run.config)), st.none() | st.text()))
    return replace(
        run,
        method=draw(st.sampled_from([method, None, "unheard-of"])),
        train=train.drop(columns=list(dropped)),
        evals=draw(st.sampled_from([run.evals, train])),
        meaning=draw(st.sampled_from([run.meaning, None])),
        config={**run.config, **config},
    )


@given(damaged())
@settings(max_examples=40)
def test_no_check_raises_on_any_log(run: Run) -> None:
    reading = Reading(run)
    for pathology in PATHOLOGIES:
        assert pathology.check(reading).sentence


def test_sides_logged_as_different_quantities_raise_nothing() -> None:
    run = logged_run(0.2, -0.3, method_name="orpo")
    mixed = run.train[["rewards/chosen", "logps_per_token/rejected"]]
    reading = Reading(replace(run, train=mixed))
    assert all(not one.check(reading).status.is_alarm for one in PATHOLOGIES)


@given(runs())
@settings(max_examples=40)
def test_no_check_raises_on_any_run(run: Run) -> None:
    for method in (run.method, "kto", "simpo"):
        reading = Reading(replace(run, method=method))
        for pathology in PATHOLOGIES:
            assert pathology.check(reading).sentence


# The text.


@every
def test_its_text_has_all_headings_in_order(pathology: Pathology) -> None:
    found = sections(pathology.text)
    assert tuple(found) == HEADINGS
    assert all(found.values())
    assert pathology.text.splitlines()[0].endswith(".")


@every
def test_the_thresholds_say_whose_they_are(pathology: Pathology) -> None:
    text = " ".join(sections(pathology.text)["Thresholds"].split())
    assert re.search(r"[Pp]roposals? of this project|arXiv", text)


@every
def test_the_explanation_prints_the_same_text(pathology: Pathology) -> None:
    printed = explanation(pathology.name)
    heads = [line for line in printed.splitlines() if line and not line.startswith(" ")]
    assert tuple(heads) == HEADINGS
    assert " ".join(sections(pathology.text)["What it is"].split()) in " ".join(printed.split())


def test_a_name_that_is_neither_pathology_nor_regime_is_refused() -> None:
    with pytest.raises(KeyError, match="'sadness'; known are reversed"):
        explanation("sadness")


def test_no_two_pathologies_share_a_name() -> None:
    names = [one.name for one in PATHOLOGIES]
    assert len(set(names)) == len(names)
