"""`process.py`: ports and Vars; `models.py`: receive, step, send."""
