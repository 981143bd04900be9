"""Words for the screen: numbers with sensible digits, and untrusted text made harmless."""

from __future__ import annotations

import math
import re

from diagnostics.intervals import Interval

# Markdown makes a link of a bare address, whatever is escaped in it; an invisible joiner inside
# keeps it text.
_ADDRESS = re.compile(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)|(?<=@)", re.IGNORECASE)
_JOINER = "\u2060"
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&^=])")


def literal(text: object) -> str:
    r"""Return untrusted text such that Markdown shows it as it is, on one line.

    Run names, messages and configurations come from logs: a name must not become a link, an
    image that is fetched from elsewhere, or a colour directive.

    Examples
    --------
    >>> literal("![x](y) costs $5")
    '\\!\\[x\\]\\(y\\) costs \\$5'
    >>> literal("http://a.b") == "http\\:\u2060//a\\.b"
    True
    """
    return _MARKUP.sub(r"\\\1", _ADDRESS.sub(_JOINER, " ".join(str(text).split())))


def sentence(text: str) -> str:
    """Return a verdict's sentence as a heading wants it: capital, true minus signs, full stop.

    Examples
    --------
    >>> sentence("both fall since step 40: chosen -0.3")
    'Both fall since step 40: chosen −0.3.'
    """
    text = re.sub(r"(?<![\w.])-(?=\d)", "−", text.strip())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def signed(value: float | None, digits: int = 3) -> str:
    """Return a change with its sign, a true minus, and a dash where there is no number.

    Examples
    --------
    >>> signed(-0.12345), signed(0.5, 1), signed(float("nan"))
    ('−0.123', '+0.5', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:+.{digits}f}".replace("-", "−")


def plain(value: float | None, digits: int = 2) -> str:
    """Return a number without a plus sign, and a dash where there is none.

    Examples
    --------
    >>> plain(-1.5), plain(None)
    ('−1.50', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """Return a fraction as whole percent.

    Examples
    --------
    >>> percent(0.734), percent(None)
    ('73 %', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{100 * value:.0f} %"


def bounds(interval: Interval | None, digits: int = 3) -> str:
    """Return the 95 % interval in words, or why there is none.

    Examples
    --------
    >>> bounds(Interval(-0.1, -0.15, -0.05), 2)
    '95 %: −0.15 to −0.05'
    """
    if interval is None or not math.isfinite(interval.value):
        return "not known"
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "spread not known"
    return f"95 %: {plain(interval.low, digits)} to {plain(interval.high, digits)}"
