"""How often the policy prefers the labelled side, by how sure it is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from diagnostics.figures import style
from diagnostics.reliability import CONFIDENCE, COUNT, RIGHT


def reliability(bins: pd.DataFrame, *, height: int = 320) -> go.Figure:
    """Return the bins against the diagonal of a policy that is as often right as it is sure."""
    drawing = style.figure(
        height,
        style.axis(CONFIDENCE, range=[49, 101], showgrid=True, zeroline=False),
        style.axis(RIGHT, range=[-2, 102], zeroline=False),
    )
    drawing.add_scatter(
        x=[50, 100],
        y=[50, 100],
        mode="lines",
        name="as right as sure",
        line={"color": style.REFERENCE, "width": 1.6, "dash": "dot"},
        hoverinfo="skip",
    )
    right = bins[RIGHT].to_numpy(np.float64)
    drawing.add_scatter(
        x=bins[CONFIDENCE],
        y=right,
        mode="lines+markers",
        name="pairs of like confidence, 95 %",
        line={"color": style.MARGIN, "width": 2.2},
        marker={"size": 9, "symbol": "diamond"},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": bins[f"{RIGHT} to"].to_numpy(np.float64) - right,
            "arrayminus": right - bins[f"{RIGHT} from"].to_numpy(np.float64),
            "color": style.translucent(style.MARGIN, 0.6),
            "width": 0,
        },
        customdata=bins[COUNT],
        hovertemplate="%{y:.0f} % of %{customdata} pairs at %{x:.0f} % confidence<extra></extra>",
    )
    return drawing
