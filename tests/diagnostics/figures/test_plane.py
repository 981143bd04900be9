"""The plane: axes, units, quadrants and paths."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from diagnostics.examples import TRUTH, example, nan_ridden
from diagnostics.figures import style
from diagnostics.figures.plane import MAX_MARKS, Track, plane
from diagnostics.regimes import Regime
from diagnostics.share import trajectory


def track(regime: str, **more: int) -> Track:
    run = example(regime, **more)
    return Track(run.name, trajectory(run, "train"), "#8A63D2", "square")


def ends(figure: go.Figure) -> list[tuple[float, float]]:
    """Return where each path ends, as (Δ rejected, Δ chosen)."""
    marks = [trace for trace in figure.data if trace.mode == "markers"]
    return [(float(trace.x[0]), float(trace.y[0])) for trace in marks]


@pytest.mark.parametrize("regime", ["ideal", "both_rise", "both_fall", "reversed"])
def test_a_run_ends_where_the_truth_says(regime: str) -> None:
    chosen, rejected = TRUTH[Regime(regime)]
    [(x, y)] = ends(plane([track(regime)]))
    assert x == pytest.approx(rejected, abs=1e-6)
    assert y == pytest.approx(chosen, abs=1e-6)


def test_every_path_starts_at_the_origin() -> None:
    figure = plane([track("ideal"), track("both_fall")])
    paths = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(trace.x[0], trace.y[0]) for trace in paths] == [(0.0, 0.0), (0.0, 0.0)]


def test_both_axes_name_their_quantity_and_unit_and_share_one_scale() -> None:
    layout = plane([track("ideal")]).layout
    assert layout.xaxis.title.text == "Δ rejected [nats per token]"
    assert layout.yaxis.title.text == "Δ chosen [nats per token]"
    assert (layout.yaxis.scaleanchor, layout.yaxis.scaleratio) == ("x", 1)


@pytest.mark.parametrize("regime", list(TRUTH))
def test_the_origin_and_the_end_are_in_view_with_room_in_every_quadrant(regime: Regime) -> None:
    figure = plane([track(regime)])
    (x_low, x_high), (y_low, y_high) = figure.layout.xaxis.range, figure.layout.yaxis.range
    [(x, y)] = ends(figure)
    assert x_low < min(0, x) <= max(0, x) < x_high
    assert y_low < min(0, y) <= max(0, y) < y_high
    assert min(-x_low, x_high) > 0.2 * (x_high - x_low)


def test_the_four_corners_are_named() -> None:
    figure = plane([])
    named = {note.text: (note.x, note.y) for note in figure.layout.annotations}
    assert named["↑↓ ideal"] == (0, 1)
    assert named["↑↑ both rise"] == (1, 1)
    assert named["↓↓ both fall"] == (0, 0)
    assert named["↓↑ reversed"] == (1, 0)


def test_noise_is_not_blown_up_to_fill_the_plane() -> None:
    low, high = plane([track("flat")]).layout.yaxis.range
    assert high - low > 0.02


def test_the_last_point_carries_its_interval() -> None:
    path = track("ideal")
    figure = plane([path])
    [mark] = [trace for trace in figure.data if trace.mode == "markers"]
    last = path.estimates[-1].delta_chosen
    assert mark.error_y.array[0] == pytest.approx(last.high - last.value)
    assert mark.error_y.arrayminus[0] == pytest.approx(last.value - last.low)


def test_a_long_path_is_thinned_and_keeps_its_end() -> None:
    path = track("both_fall", evaluations=500)
    figure = plane([path])
    [line] = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert len(line.x) <= MAX_MARKS + 1
    assert line.y[-1] == path.estimates[-1].delta_chosen.value


def test_evaluations_without_numbers_are_left_out() -> None:
    run = nan_ridden()
    figure = plane([Track("nan", trajectory(run, "train"), "#8A63D2")])
    [(x, y)] = ends(figure)
    assert x == x
    assert y == y


def test_a_track_without_any_number_draws_nothing() -> None:
    assert len(plane([Track("empty", [], "#8A63D2")]).data) == 0


def test_a_name_cannot_bring_markup_into_the_figure() -> None:
    path = track("ideal")
    figure = plane([Track("<a href='http://x.y'>run</a>", path.estimates, "#8A63D2")])
    texts = [trace.name for trace in figure.data] + [str(trace.text[-1]) for trace in figure.data]
    assert all("<a" not in text for text in texts)
    assert any("&lt;a" in text for text in texts)


def test_seventy_two_runs_differ_in_colour_or_mark() -> None:
    looks = {(style.run_colour(index), style.run_symbol(index)) for index in range(72)}
    assert len(looks) == 72


def test_of_hundreds_of_runs_the_ends_are_one_trace_in_their_own_colours() -> None:
    runs = [example(regime) for regime in TRUTH]
    tracks = [
        Track(f"<b>{n}", trajectory(run), style.run_colour(n), style.run_symbol(n))
        for n, run in enumerate(runs)
    ]
    [trace] = plane([], ends=tracks).data
    assert list(trace.marker.color) == [track.colour for track in tracks]
    assert list(trace.marker.symbol) == [track.symbol for track in tracks]
    assert list(trace.y) == [track.estimates[-1].delta_chosen.value for track in tracks]
    assert all("&lt;b&gt;" in text for text in trace.text)
    assert trace.error_x.array is None


def test_ends_stay_in_view_beside_the_paths() -> None:
    path, far = example("ideal"), example("both_fall")
    track = Track("near", trajectory(path), style.run_colour(0))
    figure = plane([track], ends=[Track("far", trajectory(far), style.REFERENCE)])
    low, _ = figure.layout.xaxis.range
    assert low < trajectory(far)[-1].delta_rejected.value
