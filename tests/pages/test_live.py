"""When a page is drawn again: soon after a change, and later where nobody keeps up."""

from __future__ import annotations

from typing import Any

import pytest

from pages.components import live


class Clock:
    """A page that was drawn at 0 s, and what its looks at the logs come to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.state, self.memory = 0.0, "as drawn", dict[str, Any]()
        self.drawn_again = False
        monkeypatch.setattr(live.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(live.st, "session_state", self.memory)
        monkeypatch.setattr(live.st, "rerun", lambda: setattr(self, "drawn_again", True))
        monkeypatch.setattr(live, "_state", lambda shown: self.state)

    def looks(self, *times: float) -> float | None:
        """Look at these times [seconds]; return when the page was drawn again, None for never."""
        for self.now in times:
            live._look("as drawn", (), 0.0)
            if self.drawn_again:
                return self.now
        return None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_change_is_drawn_within_two_looks(clock: Clock) -> None:
    clock.state = "changed"
    assert clock.looks(0.01, 1.01, 2.01) == 2.01


def test_nothing_new_is_not_drawn_until_the_clock_alone_may_have_changed_something(
    clock: Clock,
) -> None:
    assert clock.looks(0.01, *range(1, 70)) == live.BEAT_SECONDS


def test_a_page_stands_longer_where_its_first_look_came_late(clock: Clock) -> None:
    clock.state = "changed"
    # Two seconds late: the browser was drawing, or the server busy.
    rests = live.REST_SECONDS + 2 * live.RESTS
    again = clock.looks(0.01, 3.0, *[3.0 + second for second in range(1, 30)])
    assert again is not None
    assert rests <= again < rests + 1


def test_the_next_drawing_is_judged_by_its_own_first_look(clock: Clock) -> None:
    clock.looks(0.01, 9.0)
    clock.state = "changed"
    clock.now = 10.0
    live._look("as drawn", (), 9.0)  # drawn at 9, and looked at in time
    clock.now = 11.0
    live._look("as drawn", (), 9.0)
    assert clock.drawn_again
