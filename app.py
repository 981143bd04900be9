"""The list of pages and the server that shows them; nothing else.

Each page draws the links to the others itself.
"""

import streamlit as st

from pages.components import ready

if __name__ == "__main__":  # each visit runs this file as a script
    st.navigation(
        [
            # The default page is served at / only, whatever its path; the hidden one makes a link
            # to /overview open it too.
            st.Page("pages/overview.py", title="All runs", url_path="all", default=True),
            st.Page(
                "pages/overview.py", title="All runs", url_path="overview", visibility="hidden"
            ),
            st.Page("pages/run.py", title="One run"),
            st.Page("pages/compare.py", title="Compare"),
            st.Page("pages/pairs.py", title="Pairs"),
            st.Page("pages/import_log.py", title="Import"),
            st.Page("pages/train.py", title="Train"),
            st.Page("pages/reference.py", title="Reference"),
        ],
        position="hidden",
    ).run()
else:  # the server imports it once
    app = st.App(__file__, lifespan=ready.lifespan, middleware=ready.MIDDLEWARE)
