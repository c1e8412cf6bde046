"""Docstrings are reStructuredText where they show formulas (``::``); the site takes them for Markdown."""

import re
from typing import Any

import griffe


class Formulas(griffe.Extension):
    """Takes the second colon off texts in front of formulas; the indented lines are code in Markdown too."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """A docstring with ``text::`` as ``text:``, and a ``::`` alone left out."""
    return re.sub(r"(?<=\S)::$", ":", re.sub(r"^::\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
