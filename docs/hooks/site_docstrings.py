"""What the site makes of docstrings: formulas as Markdown, and the parameters that a class declares as fields."""

import ast
import re
from collections.abc import Iterator
from typing import Any

import griffe


class Docstrings(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Docstrings are reStructuredText where they show formulas (``::``); the site takes them for Markdown."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Fields of a specification are declared with their documentation, for themselves and for subclasses."""
        if cls.docstring is None:
            return
        fields = {name: text for name, text in declared(cls) if f"\n{name} : " not in cls.docstring.value}
        if fields:
            cls.docstring.value += "\n\nAttributes\n----------\n" + "\n".join(fields.values())


def as_markdown(text: str) -> str:
    """A docstring with ``text::`` as ``text:``, and a ``::`` alone left out."""
    return re.sub(r"(?<=\S)::$", ":", re.sub(r"^::\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)


def declared(cls: griffe.Class) -> Iterator[tuple[str, str]]:
    """Fields such as ``vth: Numbers = numbers(doc="threshold")``, bases first: names, and numpydoc."""
    for owner in [*reversed(cls.mro()), cls]:
        for name, member in owner.members.items():
            if isinstance(member, griffe.Attribute) and isinstance(member.value, griffe.ExprCall):
                for text in _documentation(member.value):
                    yield name, f"{name} : {member.annotation}\n    {text}"


def _documentation(call: griffe.ExprCall) -> Iterator[str]:
    for argument in call.arguments:
        if isinstance(argument, griffe.ExprKeyword) and argument.name == "doc":
            yield str(ast.literal_eval(str(argument.value)))
