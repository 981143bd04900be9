"""Pure analysis of preference-training runs; importing it never loads torch or streamlit."""
