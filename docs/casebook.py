"""Write docs/casebook.md from the recorded experiments, and draw their pictures.

    python -m trainer casebook --results examples/casebook
    python docs/casebook.py [--pictures]

Every number on the page is computed here from examples/casebook/*.json. The pictures need
playwright (requirements-dev.txt) and a Chromium on the path.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import forecast as forecasts  # noqa: E402
from diagnostics.intervals import in_words, number, wilson  # noqa: E402
from trainer.casebook import EXPERIMENTS  # noqa: E402

RECORDS = ROOT / "examples" / "casebook"
PAGE = ROOT / "docs" / "casebook.md"
IMAGES = ROOT / "docs" / "images"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
COLOURS = {"chosen": "#1b6ca8", "rejected": "#c8553d"}
PANELS = 4  # side by side
Record = dict[str, Any]

INTRO = """# The casebook

Claims about preference training, each as real trainings of a tiny model on synthetic pairs whose
truth is known. What each arm changes and what should be seen was written down before the runs, in
`trainer/casebook/`; what came out is in `examples/casebook/`. This page is computed from it:

```console
python -m trainer casebook --results examples/casebook
python docs/casebook.py --pictures
```

An expectation is *confirmed* where it holds on every seed, *contradicted* where it fails on more
than half of them, and *undecided* otherwise; that rule is this project's own. Changes are those of
the fixed training pairs since the start of the run, in nats per token. The models are tiny
({size}), so a confirmation shows that the cause can have the effect, not how large it is
elsewhere.

The advice was changed once by these runs. In a first pass 7 of 25 advised remedies cured: doubling
beta against drift did in 0 of 9 runs, halving the learning rate against a stuck KL in 0 of 6, SimPO
against a ranking mismatch in 0 of 3. Since then the learning rate is sized by the measured drift,
and those three claim no more than C or D; the figures below are of the advice as it stands, on the
runs that changed it.
"""


def records() -> list[Record]:
    """Return the recorded experiments in the order of their numbers."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in RECORDS.glob("*.json")]
    return sorted(found, key=lambda record: int(record["name"][1:]))


def page(experiments: Sequence[Record]) -> str:
    """Return the whole page."""
    sizes = {"cpu": "0.1 million parameters", "gpu": "7 million parameters"}
    size = ", ".join(sorted({sizes[one["size"]] for one in experiments}))
    parts = [INTRO.format(size=size), _summary(experiments), _not_cured(experiments)]
    parts += [_not_confirmed(experiments), _missing(experiments)]
    parts += [_experiment(one) for one in experiments]
    return "\n".join(parts).rstrip() + "\n"


def verdict(seeds: dict[str, bool | None]) -> str:
    """Return the verdict on one expectation from what each seed says of it."""
    known = [held for held in seeds.values() if held is not None]
    if not known:
        return "not measured"
    if all(known) and len(known) == len(seeds):
        return "confirmed"
    return "contradicted" if 2 * known.count(False) > len(known) else "undecided"


def named(run: Record, regime: str) -> bool:
    """Say whether a run is diagnosed with a regime; a rise-then-fall is a check of its own."""
    return bool(run["regime"] == regime or regime in run["alarms"])


def claimed_runs(experiments: Iterable[Record]) -> list[tuple[Record, str]]:
    """Return every run whose regime was claimed beforehand, with that regime."""
    return [
        (run, arm["regime"])
        for record in experiments
        for arm in record["arms"]
        if arm["regime"]
        for run in record["runs"]
        if run["arm"] == arm["name"]
    ]


def remedies(experiments: Iterable[Record]) -> list[dict[str, Any]]:
    """Return every remedy of A or B evidence that met its symptom, and whether it went.

    Both kinds: those the casebook took from papers, and those the diagnosis advised.
    """
    found = []
    for record in experiments:
        runs = {(run["arm"], run["seed"]): run for run in record["runs"]}
        for arm in record["arms"]:
            remedy = arm["remedy"]
            for (name, seed), run in runs.items():
                if remedy is None or name != arm["name"]:
                    continue
                if named(runs[remedy["of"], seed], remedy["symptom"]):
                    cured = not named(run, remedy["symptom"])
                    found.append(
                        {**remedy, "where": record["name"], "seed": seed, "cured": cured}
                        | {"by": "paper", "run": run, "sick": runs[remedy["of"], seed]}
                    )
        for one in record.get("advised", []):
            origin = one["arm"].split(", advised ")[0]
            found.append(
                {
                    "of": origin,
                    "symptom": one["pathology"],
                    "action": one["flags"],
                    "strength": one["strength"],
                    "where": record["name"],
                    "seed": one["seed"],
                    "cured": one["cured"],
                    "by": "diagnosis",
                    "run": runs[one["arm"], one["seed"]],
                    "sick": runs[origin, one["seed"]],
                }
            )
    return found


def early_signs(experiments: Iterable[Record]) -> tuple[int, int]:
    """Return how many early signs the band law had right, of how many beyond noise."""
    across = [numbers for record in experiments for numbers in record["across"].values()]
    right, total = (
        sum(int(value) for one in across for name, value in one.items() if name.startswith(start))
        for start in ("early right/", "early of/")
    )
    return right, total


def share_of(hits: int, total: int) -> str:
    """Return a share in words: counts, per cent and 95 % interval."""
    if not total:
        return "none measured"
    interval = wilson(hits / total, total)
    low, high = 100 * interval.low, 100 * interval.high
    return f"{hits} of {total} ({100 * hits / total:.0f} %, 95 % {low:.0f}…{high:.0f})"


def _summary(experiments: Sequence[Record]) -> str:
    claimed = claimed_runs(experiments)
    rows = []
    for regime in sorted({regime for _, regime in claimed}):
        runs = [run for run, own in claimed if own == regime]
        hits = sum(named(run, regime) for run in runs)
        rows.append((f"runs named {_words(regime)} where its cause was set up", hits, len(runs)))
    rows.append(
        ("all regimes together", sum(named(run, own) for run, own in claimed), len(claimed))
    )
    rows.append(("early signs that the band law gets right", *early_signs(experiments)))
    tried = remedies(experiments)
    for by, text in (("paper", "taken from papers"), ("diagnosis", "advised by the diagnosis")):
        own = [one for one in tried if one["by"] == by]
        rows.append((f"remedies of A or B evidence, {text}, that cured", *_cured(own)))
    alarmed = [one for one in tried if one["symptom"] in one["sick"]["alarms"]]
    rows.append(("both kinds, where the diagnosis had raised that alarm", *_cured(alarmed)))
    held = [verdict(one["seeds"]) for record in experiments for one in record["expectations"]]
    rows.append(("expectations confirmed", held.count("confirmed"), len(held)))
    lines = [f"| {text} | {share_of(hits, total)} |" for text, hits, total in rows]
    areas = [n["auc"] for r in experiments for n in r["across"].values() if n.get("auc")]
    if areas:
        text = ", ".join(f"{area:.2f}" for area in areas)
        lines.append(f"| area under the curve of S_0 for a fall of chosen, by seed | {text} |")
    return "\n".join(
        ["## What came out", "", "| what | measured |", "|---|---|", *lines, "", _skill(), ""]
    )


def _cured(tried: Sequence[dict[str, Any]]) -> tuple[int, int]:
    return sum(one["cured"] for one in tried), len(tried)


def _skill() -> str:
    found = forecasts.cases(RECORDS)
    got = forecasts.skill(found)
    refused = sum(case.forecast is None for case in found)
    rows = [
        ("final sign right: forecast", in_words(got.sign)),
        ("final sign right: sign at half time", in_words(got.sign_at_half)),
        ("final sign right: straight line", in_words(got.sign_linear)),
        ("median error of chosen at the end: forecast", f"{number(got.error)} nats/token"),
        ("median error: chosen stays as at half time", f"{number(got.error_at_half)} nats/token"),
        ("median error: straight line", f"{number(got.error_linear)} nats/token"),
        (f"median error of the return to 0, {got.crossings} runs", _part(got.crossing_error)),
        ("the same: straight line", _part(got.crossing_error_linear)),
    ]
    head = (
        f"The forecast of chosen's second half from its first, on {got.runs} runs whose end is "
        f"beyond noise ({refused} of {len(found)} refused). Runs that share a seed or pairs are "
        "not independent, so the true intervals are wider:"
    )
    return "\n".join(
        [head, "", "| what | measured |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)]
    )


def _part(error: float) -> str:
    return "–" if error != error else f"{100 * error:.1f} % of the run"


def _not_cured(experiments: Sequence[Record]) -> str:
    rows = [
        f"| {one['where']} {one['of']}, seed {one['seed']} | {_words(one['symptom'])} "
        f"| {one['sick']['alarms'].get(one['symptom'], 'none')} "
        f"| {one['action']} ({one['by']}, {one['strength']}) | {_ends(one['sick'])} "
        f"| {_ends(one['run'])} |"
        for one in remedies(experiments)
        if not one["cured"]
    ]
    head = [
        "## Where a remedy did not help",
        "",
        "Remedies whose evidence is A or B, and after which the run is still diagnosed with what "
        "they were to cure. Where the alarm is `none` the regime is there, and the diagnosis does "
        "not call it a pathology: a fall of both sides within the tide asks for no remedy. "
        "Chosen / rejected at the end, nats per token.",
        "",
        "| run | symptom | alarm | remedy (from, evidence) | before | after |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *(rows or ["| none | | | | | |"]), ""])


def _not_confirmed(experiments: Sequence[Record]) -> str:
    rows = [
        f"| {record['name']} | {one['claim']} | {_values(record, one)} | {verdict(one['seeds'])} |"
        for record in experiments
        for one in record["expectations"]
        if verdict(one["seeds"]) != "confirmed"
    ]
    head = ["## What was not confirmed", "", "| where | expected | seen, by seed | verdict |"]
    return "\n".join([*head, "|---|---|---|---|", *(rows or ["| none | | | |"]), ""])


def _missing(experiments: Sequence[Record]) -> str:
    """Return the experiments that are written down and have no record yet, if any."""
    known = {record["name"] for record in experiments}
    missing = [f"- {one.name}. {one.title}" for one in EXPERIMENTS if one.name not in known]
    return "\n".join(["## Not recorded yet", "", *missing, ""]) if missing else ""


def _experiment(record: Record) -> str:
    parts = [f"## {record['name']}. {record['title']}", "", f"*Claim.* {record['claim']}", ""]
    parts += ["| arm | what is changed | expected | named, by seed | chosen / rejected, by seed |"]
    parts += ["|---|---|---|---|---|"]
    for arm in record["arms"]:
        runs = [run for run in record["runs"] if run["arm"] == arm["name"]]
        expected = _words(arm["regime"]) if arm["regime"] else "open"
        seen = ", ".join(_named_as(run, arm["regime"]) for run in runs)
        ends = "; ".join(_ends(run) for run in runs)
        parts.append(f"| {arm['name']} | {arm['change']} | {expected} | {seen} | {ends} |")
    parts += ["", "| expected | seen, by seed | verdict |", "|---|---|---|"]
    parts += [
        f"| {one['claim']} | {_values(record, one)} | {verdict(one['seeds'])} |"
        for one in record["expectations"]
    ]
    if record["across"]:
        parts += ["", *_across(record["across"])]
    if (IMAGES / f"casebook-{record['name']}.png").is_file():
        text = f"Chosen and rejected over the steps of each arm of {record['name']}"
        parts += ["", f"![{text}](images/casebook-{record['name']}.png)"]
    return "\n".join([*parts, ""])


def _across(across: dict[str, dict[str, float | None]]) -> list[str]:
    names = list(dict.fromkeys(name for numbers in across.values() for name in numbers))
    head = f"| over all arms | {' | '.join(f'seed {seed}' for seed in across)} |"
    rows = [
        f"| {name} | {' | '.join(_number(numbers.get(name)) for numbers in across.values())} |"
        for name in names
    ]
    return [head, f"|---|{'---|' * len(across)}", *rows]


def _named_as(run: Record, claimed: str | None) -> str:
    if claimed and run["regime"] != claimed and claimed in run["alarms"]:
        return f"{_words(run['regime'])}, {_words(claimed)}"
    return _words(run["regime"])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _ends(run: Record) -> str:
    return " / ".join(
        _number(run["numbers"].get(side), sign=True) for side in ("chosen", "rejected")
    )


def _number(value: Any, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    if isinstance(value, str):
        return _words(value)
    return number(float(value), sign=sign)


def _values(record: Record, expectation: Record) -> str:
    """Return what stood on both sides of an expectation, seed by seed."""
    texts = []
    for seed in expectation["seeds"]:
        left = _value(record, expectation["left"], seed)
        right = expectation["right"]
        if isinstance(right, list):
            right = _value(record, right, seed)
        relation = {"is": "is"}.get(expectation["relation"], expectation["relation"])
        texts.append(f"{_number(left)} {relation} {_number(right)}")
    return "; ".join(texts).replace("<", "&lt;").replace(">", "&gt;")


def _value(record: Record, place: Sequence[str], seed: str) -> Any:
    arm, quantity = place
    if arm == "across arms":
        return record["across"].get(seed, {}).get(quantity)
    for run in record["runs"]:
        if run["arm"] == arm and str(run["seed"]) == seed:
            return run["regime"] if quantity == "regime" else run["numbers"].get(quantity)
    return None


# Pictures.


def figure(record: Record) -> dict[str, Any]:
    """Return an experiment as a Plotly figure: one panel an arm, one line a side and seed."""
    arms = [arm["name"] for arm in record["arms"]]
    rows = -(-len(arms) // PANELS)
    columns = min(PANELS, len(arms))
    traces, notes = [], []
    layout: dict[str, Any] = {
        "template": "none",
        "width": 230 * columns + 60,
        "height": 190 * rows + 50,
        "margin": {"l": 45, "r": 15, "t": 30, "b": 35},
        "grid": {"rows": rows, "columns": columns, "pattern": "independent", "ygap": 0.35},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        "font": {"size": 11},
    }
    names = record["path_columns"]
    for index, arm in enumerate(arms):
        axis = "" if index == 0 else str(index + 1)
        notes.append(
            {"text": arm, "showarrow": False, "x": 0, "y": 1.0, "yanchor": "bottom"}
            | {"xref": f"x{axis} domain", "yref": f"y{axis} domain", "xanchor": "left"}
        )
        runs = [run for run in record["runs"] if run["arm"] == arm]
        for run in runs:
            for side, colour in COLOURS.items():
                traces.append(
                    {
                        "type": "scatter",
                        "x": [row[names.index("step")] for row in run["path"]],
                        "y": [row[names.index(side)] for row in run["path"]],
                        "xaxis": f"x{axis}",
                        "yaxis": f"y{axis}",
                        "mode": "lines",
                        "line": {"color": colour, "width": 1.5},
                        "name": side,
                        "showlegend": index == 0 and run is runs[0],
                    }
                )
    return {"data": traces, "layout": layout | {"annotations": notes}}


def draw(experiments: Sequence[Record]) -> None:
    """Save one picture an experiment."""
    import plotly.offline
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if chromium is None:
        raise SystemExit("no Chromium was found on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1000, "height": 1600})
        tab.set_content("<body style='margin: 0'><div id='here'></div></body>")
        tab.add_script_tag(content=plotly.offline.get_plotlyjs())
        for record in experiments:
            one = figure(record)
            tab.evaluate(
                "one => Plotly.newPlot('here', one.data, one.layout, {staticPlot: true})", one
            )
            size = {side: one["layout"][side] for side in ("width", "height")}
            path = IMAGES / f"casebook-{record['name']}.png"
            tab.screenshot(path=path, clip={"x": 0, "y": 0, **size})
        browser.close()


def main() -> None:
    """Write the page, with `--pictures` after drawing them."""
    found = records()
    if "--pictures" in sys.argv[1:]:
        draw(found)
    PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
