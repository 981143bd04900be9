"""Reference: what each pathology is, what each metric means, what each method pulls on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import streamlit as st

from diagnostics.methods import METHODS, Method
from diagnostics.pathologies import EXPLAINED, PATHOLOGIES, explanation
from diagnostics.regimes import Regime
from diagnostics.schema import METRICS
from pages.components.explanation import explain
from pages.components.link import navigation
from pages.components.table import MEANT
from pages.components.text import literal

READABLE = 760  # pixels: longer lines tire
SECTIONS = ("Pathologies", "Metrics", "Methods")
# The query parameter of each section.
NAMED = ("pathology", "metric", "method")

TITLES = {one.name: one.title for one in PATHOLOGIES}


def pathologies() -> None:
    """Show the page of one pathology or regime, the one named in the URL."""
    name = st.selectbox("Pathology or regime", EXPLAINED, key="pathology", bind="query-params")
    name = name or EXPLAINED[0]
    title = TITLES.get(name) or Regime(name).label
    with st.container(width=READABLE):
        st.header(literal(title))
        explain(explanation(name))


def metrics() -> None:
    """List every quantity, or those named in the URL: its name, unit and definition."""
    find = st.text_input(
        "Find", placeholder="rewards, kl, nats per token", key="metric", bind="query-params"
    )
    words = find.lower().split()
    derived = [(name, text) for name, (_, text, _) in MEANT.items() if _holds(words, name, text)]
    logged = [
        one
        for one in METRICS.values()
        if _holds(words, one.name, one.label, one.unit, one.definition)
    ]
    with st.container(width=READABLE):
        if logged:
            st.caption("In logs. A name means one quantity, whatever framework a log came from.")
        for one in logged:
            st.markdown(f"`{one.name}` [{literal(one.unit)}]  \n{literal(one.definition)}")
        if derived:
            st.caption("Worked out from fixed pairs, or from logged rewards where they allow it.")
        for name, text in derived:
            st.markdown(f"**{literal(name)}**  \n{literal(text)}")
        if not logged and not derived:
            st.info("No quantity is called or described so.")


def _holds(words: Iterable[str], *texts: str) -> bool:
    said = " ".join(texts).lower()
    return all(word in said for word in words)


def methods() -> None:
    """Show the card of one method, the one named in the URL."""
    name = st.selectbox("Method", list(METHODS), key="method", bind="query-params")
    method = METHODS[name or "dpo"]
    st.header(literal(method.title))
    st.markdown(literal(f"{method.citation}."))
    st.code(method.equation, language=None, wrap_lines=True)
    facts = {
        "Reward": method.reward,
        "Needs": f"{'pairs' if method.paired else 'single labelled examples'}, "
        f"{'a frozen reference model' if method.reference else 'no reference model'}",
        "Loss at the start": _start(method),
        "Learning rates in use": method.rates,
        "Remark": method.remark,
        "Also called": ", ".join(method.aliases),
    }
    st.markdown("  \n".join(f"**{k}:** {literal(v)}" for k, v in facts.items() if v))
    _table(
        ("Setting", "Default", "In use", "Meaning", "TRL", "LLaMA-Factory"),
        [
            (
                f"`{one.name}`",
                literal(one.default),
                *(
                    literal(text or "–")
                    for text in (one.usual, one.meaning, one.trl, one.llamafactory)
                ),
            )
            for one in method.hyperparameters
        ],
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Show a table of Markdown texts, wrapped where they are long."""
    lines = [heads, ["---"] * len(heads), *rows]
    st.markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def _start(method: Method) -> str:
    start = method.start_loss()
    if start is None:
        return "depends on the model"
    return f"{start:.4g} loss units with the default settings, before any SFT term"


st.set_page_config(page_title="Seesaw: reference", layout="wide")
if navigation("reference") and "section" not in st.query_params:
    # A link to one metric or method need not say where it stands.
    named = [SECTIONS[place] for place, name in enumerate(NAMED) if name in st.query_params]
    if named:
        st.query_params["section"] = st.session_state["section"] = named[0]
st.title("Reference")
section = st.segmented_control(
    "Section",
    SECTIONS,
    default=SECTIONS[0],
    required=True,
    key="section",
    bind="query-params",
    label_visibility="collapsed",
)
{"Pathologies": pathologies, "Metrics": metrics, "Methods": methods}[section or SECTIONS[0]]()
