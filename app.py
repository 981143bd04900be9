"""The list of pages; nothing else. Each page draws the links to the others itself."""

import streamlit as st

st.navigation(
    [
        # The default page is served at / only, whatever its path; the hidden one makes a link to
        # /overview open it too.
        st.Page("pages/overview.py", title="All runs", url_path="all", default=True),
        st.Page("pages/overview.py", title="All runs", url_path="overview", visibility="hidden"),
        st.Page("pages/run.py", title="One run"),
        st.Page("pages/compare.py", title="Compare"),
        st.Page("pages/pairs.py", title="Pairs"),
        st.Page("pages/import_log.py", title="Import"),
        st.Page("pages/train.py", title="Train"),
        st.Page("pages/reference.py", title="Reference"),
    ],
    position="hidden",
).run()
