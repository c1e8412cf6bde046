"""Values in messages, texts for terminals and Markdown, and values for JSON."""

import dataclasses
import re
from typing import Any

from lava_aug.core.fixed_point import is_array, is_list, is_mapping, is_numpy

SHOWN = 16
"""Most elements of a list or array that a message shows."""

SHOWN_LETTERS = 120
"""Longest text of a value in a message."""


def brief(value: Any) -> str:
    """A value as messages show it: its `repr`, or what it is, if that would be long.

    Examples
    --------
    >>> import numpy as np
    >>> brief(np.array([1, 2])), brief(np.zeros((50, 3)))
    ('array([1, 2])', 'float64 of shape (50, 3)')
    >>> brief("a" * 1000)[:20], brief(list(range(100)))
    ("'aaaaaaaaaaaaaaaaaaa", 'list of 100')
    """
    if is_array(value) and (value.size > SHOWN or value.ndim > 2):
        return f"{value.dtype} of shape {value.shape}"
    if is_list(value) and len(value) > SHOWN:
        return f"{type(value).__name__} of {len(value):,}"
    if isinstance(value, (str, bytes)):
        value = value[:SHOWN_LETTERS]
    text = repr(value)
    return text if len(text) <= 2 * SHOWN_LETTERS else f"{text[:SHOWN_LETTERS]} …"


def printable(text: str, keep: str = "\n") -> str:
    """A text as it may be shown: what terminals act on, or do not show, is written as Python escapes it.

    Whatever comes from files and users goes through here where it is printed: names can hold sequences that clear the
    screen, or letters that turn the line around.

    Parameters
    ----------
    text : str
        Any text.
    keep : str
        Characters that stay as they are.

    Examples
    --------
    >>> print(printable("conv\\x1b[2J, Größe, \\u202e"))
    conv\\x1b[2J, Größe, \\u202e
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def as_markdown(text: str) -> str:
    """A text as Markdown shows it: without headings, links, tables and HTML of its own.

    Special characters become HTML's numeric references, which all kinds of Markdown read; which characters can be
    escaped by a backslash differs.

    Examples
    --------
    >>> as_markdown("a|b <i> vth_lo = -vth")
    'a&#124;b &#60;i> vth_lo = -vth'
    """
    return re.sub(r"[][<&*`|#~\\]", lambda match: f"&#{ord(match[0])};", printable(text, keep=""))


def plain(value: Any) -> Any:
    """A value as JSON has it: data classes and mappings become dictionaries, their keys texts, arrays lists.

    Examples
    --------
    >>> import numpy as np
    >>> plain({1: np.arange(2), "a": (np.float32(0.5), None)})
    {'1': [0, 1], 'a': [0.5, None]}
    """
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if is_mapping(value):
        return {str(key): plain(entry) for key, entry in value.items()}
    if is_list(value):
        return [plain(item) for item in value]
    return value.tolist() if is_numpy(value) else value


def counted(number: int, noun: str) -> str:
    """How many of something there are.

    Examples
    --------
    >>> counted(1, "image"), counted(1000, "image")
    ('1 image', '1,000 images')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def signed(value: float) -> str:
    """A spike coefficient, with its sign if it has one.

    Examples
    --------
    >>> signed(3), signed(0), signed(-1)
    ('+3', '0', '-1')
    """
    return f"{value:+g}" if value else "0"
