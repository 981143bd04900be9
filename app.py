"""The list of pages; nothing else. Each page draws the links to the others itself."""

import streamlit as st

st.navigation(
    [
        st.Page("pages/overview.py", title="Overview", default=True),
        st.Page("pages/run.py", title="Run"),
    ],
    position="hidden",
).run()
