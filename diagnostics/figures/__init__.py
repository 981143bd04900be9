"""One kind of figure a file; each takes readings of a run and returns a plotly figure.

A figure decides nothing: it draws what `share`, `phases` and the run's own columns say. Labels
and units come from the schema; no axis carries two units.
"""
