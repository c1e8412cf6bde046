"""`process.py`: ports and Vars; `models.py`: all layers in one, or each in Processes of its own."""
