"""Links lead from file to file of the repository, as on GitHub; in the site they lead to the pages of these files."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.pages import Page
from site_pages import LINK, ROOT, TOP, notebook_page, source_page


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn the relative links of a page."""
    at = page.file.src_uri
    return LINK.sub(lambda found: found[1] + turned(found[2], at) + found[3], markdown)


def turned(link: str, page: str) -> str:
    """A link to a file as a link to its page; others as they are.

    Parameters
    ----------
    link : str
        What is in the page's source, without an anchor.
    page : str
        The path of the page in the site.
    """
    if re.match(r"[a-z]+:", link) or page.startswith(("source/", "reference/cli")):
        return link
    target = (origin(page).parent / link).resolve()
    if not target.is_relative_to(ROOT):
        return link
    return os.path.relpath(place(target.relative_to(ROOT)), PurePosixPath(page).parent)


def origin(page: str) -> Path:
    """The file that a page of the site was made from."""
    for name, made in TOP.items():
        if page == made:
            return ROOT / name
    return ROOT / page if page.startswith("tutorials/") else ROOT / "docs" / page


def place(path: Path) -> str:
    """Where a file of the repository is in the site."""
    if path.as_posix() in TOP:
        return TOP[path.as_posix()]
    if path.parts[0] == "docs":
        return path.relative_to("docs").as_posix()
    if path.suffix == ".ipynb":
        return notebook_page(path)
    # Pictures are beside a tutorial's page already.
    return path.as_posix() if path.parts[0] == "tutorials" and path.suffix == ".png" else source_page(path)
