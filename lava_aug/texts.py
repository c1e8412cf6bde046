"""Tables as plain text."""

from collections.abc import Collection, Sequence


def table(rows: Sequence[Sequence[str]], *, left: Collection[str] = ()) -> str:
    """Rows as aligned columns, the first of them a head with a rule below it.

    Parameters
    ----------
    rows : sequence of sequence of str
        Cells.
    left : collection of str
        Titles of the columns that are aligned to the left; the first one always is.

    Examples
    --------
    >>> print(table([["layer", "size"], ["conv1", "7"], ["fc", "1,024"]]))
    layer   size
    ------------
    conv1      7
    fc     1,024
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if not index or rows[0][index] in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
