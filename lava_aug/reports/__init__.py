"""Comparisons as pages, tables and figures."""
