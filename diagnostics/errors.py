"""Errors a user can act on, each one sentence: where, what was found and expected, what to do next.

::

    DiagnosticsError
    ├── ReadError            a path that cannot become a Run
    │   ├── UnknownFormat    nothing recognised the content
    │   └── MalformedLog     recognised, but broken beyond reading
    ├── MissingMetric        an analysis needs a metric that the run does not hold
    └── IncomparableRuns     these runs cannot be put on one scale
"""

from __future__ import annotations


class DiagnosticsError(Exception):
    """Base of everything that a page or the command line shows as one sentence."""


class ReadError(DiagnosticsError):
    """A path could not be read as a run."""


class UnknownFormat(ReadError):
    """No reader recognised the content of the path."""


class MalformedLog(ReadError):
    """A reader recognised the format, but the content cannot become a run."""


class MissingMetric(DiagnosticsError):
    """The run does not hold a metric that the analysis needs."""


class IncomparableRuns(DiagnosticsError):
    """The runs cannot be put on one scale."""
