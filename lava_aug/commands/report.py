"""The command ``report``."""

from pathlib import Path
from typing import Annotated

import typer

from lava_aug.commands.console import err, out, show_page


def report(
    files: Annotated[list[Path], typer.Argument(help="comparisons (.json), shown one below the other")],
    output: Annotated[Path, typer.Option("--output", "-o", help="the page to write (.html)")] = Path("report.html"),
    show: Annotated[bool, typer.Option("--open", help="show it in the browser")] = False,
) -> None:
    """Make a page with tables and figures of comparisons, and their curves as CSV beside it."""
    import lava_aug as la
    from lava_aug.files import write_text
    from lava_aug.reports.pages import read_comparisons

    found = read_comparisons(files)
    with err.status("drawing figures"):
        page = la.report_html(found)
    texts = {output: page, output.with_suffix(".csv"): la.to_csv(found)}
    for path, text in texts.items():
        write_text(path, text)
    out.print(f"Wrote {', '.join(map(str, texts))}.", markup=False, soft_wrap=True)
    if show:
        show_page(output)
