"""A report in a real browser: what is drawn, how large, in which colours, and that nothing is loaded.

Chromium or Chrome, if one is on the PATH, is driven by its own options, ``--dump-dom`` and ``--screenshot``.
"""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import matplotlib.image as image
import numpy as np
import pytest
from comparisons import example

import lava_aug as la

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

pytestmark = pytest.mark.browser

ALLOWED = "script-src 'unsafe-inline'; "
"""What a test's copy of a page allows: the probe. Everything else stays forbidden."""

PROBE = """
<script>
const violations = [];
document.addEventListener("securitypolicyviolation", event => violations.push(event.blockedURI));
addEventListener("load", () => {
  const box = element => { const r = element.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const found = {
    violations,
    width: innerWidth,
    page: document.documentElement.scrollWidth,
    colors: ["color", "backgroundColor"].map(name => getComputedStyle(document.documentElement)[name]),
    loaded: performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !name.startsWith("data:")),
    figures: [...document.querySelectorAll("figure")].map(figure => ({
      caption: figure.querySelector("figcaption").textContent,
      box: box(figure.querySelector("svg")),
      marks: figure.querySelectorAll("svg path, svg use, svg image").length,
      texts: [...figure.querySelectorAll("svg text")].map(text => [text.textContent, box(text),
        getComputedStyle(text).fill, parseFloat(getComputedStyle(text).fontSize)]),
    })),
    tables: [...document.querySelectorAll("table")].map(table => ({
      caption: table.caption.textContent, box: box(table), rows: table.rows.length,
      cut: table.parentElement.scrollWidth > table.parentElement.clientWidth
        && getComputedStyle(table.parentElement).overflowX !== "auto",
    })),
  };
  parent.postMessage(JSON.stringify(found), "*");
});
</script>
"""

FRAME = """<!DOCTYPE html><meta name="color-scheme" content="light dark"><body style="margin: 0"><pre id="probe"></pre>
<script>addEventListener("message", event => { document.getElementById("probe").textContent = event.data; });</script>
<iframe src="probed.html" style="border: 0; width: WIDTHpx; height: 1600px"></iframe>
"""
"""A page around the probed one, which is as wide as a test wants: a window has at least 500 pixels."""


@pytest.fixture(scope="module")
def browser() -> str:
    """The browser's path."""
    found = [path for path in map(shutil.which, BROWSERS) if path]
    if not found:
        pytest.skip(f"needs a browser, one of {', '.join(BROWSERS)}; on Debian: apt-get install chromium")
    return found[0]


@pytest.fixture(scope="module")
def report(browser: str) -> str:
    """A page with two comparisons; made only if there is a browser."""
    return example(rows=3, layers=3, steps=8).to_html(example("fashion-resnet", rows=2, layers=2, steps=4))


def browse(browser: str, page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the browser on a page, with a profile of its own."""
    profile = page.parent / "profile"
    options = (f"--user-data-dir={profile}", "--window-size=1200,1600", "--hide-scrollbars", *options)
    plain = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr")
    command = [browser, *plain, "--no-first-run", "--disable-background-networking", *options, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


def probe(browser: str, text: str, folder: Path, width: int = 1200, *options: str) -> tuple[dict[str, Any], list[str]]:
    """What the probe measures in a page, and the console's messages."""
    page, frame = folder / "probed.html", folder / "frame.html"
    frame.write_text(FRAME.replace("WIDTH", str(width)), encoding="utf-8")
    allowed = text.replace('content="default-src', f'content="{ALLOWED}default-src')
    page.write_text(allowed.replace("</title>", f"</title>{PROBE}", 1), encoding="utf-8")
    done = browse(browser, frame, "--dump-dom", *options)
    match = re.search(r'<pre id="probe">(.+?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stderr
    return json.loads(html.unescape(match[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def screenshot(browser: str, text: str, folder: Path, *options: str) -> np.ndarray:
    """The page as a picture, values 0 .. 1, (height, width, 3)."""
    page, target = folder / "page.html", folder / "page.png"
    page.write_text(text, encoding="utf-8")
    browse(browser, page, f"--screenshot={target}", *options)
    return image.imread(target)[..., :3]


def size(box: list[float]) -> tuple[float, float]:
    left, top, right, bottom = box
    return right - left, bottom - top


def inside(inner: list[float], outer: list[float], slack: float = 2.0) -> bool:
    """Whether a box is within another one, but for some pixels."""
    low = all(a >= b - slack for a, b in zip(inner[:2], outer[:2], strict=True))
    return low and all(a <= b + slack for a, b in zip(inner[2:], outer[2:], strict=True))


@pytest.mark.parametrize("width", [1200, 400])
def test_figures_and_tables_are_there(width: int, browser: str, report: str, tmp_path: Path) -> None:
    found, messages = probe(browser, report, tmp_path, width)
    assert found["width"] == width
    assert found["page"] <= width, "the page is wider than the window"
    assert found["violations"] == found["loaded"] == messages == []
    captions = [figure["caption"] for figure in found["figures"]]
    assert len(captions) == (5 + 2 + 2) + (5 + 1 + 1)
    assert captions[0] == "Accuracy over time steps."
    assert captions[5:7] == ["conv1", "conv2"]
    assert re.fullmatch(r"conv1: first 48 neurons, spikes -\d+ .. \+\d+", captions[7])
    rows = [table["rows"] for table in found["tables"]]
    facts = rows[6]
    # head and ANN and three cases, twice; head and four layers, three times; head and cases
    assert rows == [5, 5, 5, 5, 5, 4, facts, 4, 4, 4, 4, 3, facts]
    assert facts > 10
    for table in found["tables"]:
        assert min(size(table["box"])) > 50
        assert not table["cut"]


@pytest.mark.parametrize("width", [1200, 400])
def test_figures_are_whole_and_legible(width: int, browser: str, report: str, tmp_path: Path) -> None:
    for figure in probe(browser, report, tmp_path, width)[0]["figures"]:
        across, up = size(figure["box"])
        assert across > 250
        assert up > 150
        assert figure["marks"] > 10
        assert figure["texts"]
        for text, box, _, _ in figure["texts"]:
            assert inside(box, figure["box"]), f"{figure['caption']}: {text!r} is cut off"
            assert not text or size(box)[1] >= 9, f"{figure['caption']}: {text!r} is {size(box)[1]} pixels high"


@pytest.mark.parametrize(("options", "dark"), [((), False), (("--force-dark-mode",), True)])
def test_light_and_dark(options: tuple[str, ...], dark: bool, browser: str, report: str, tmp_path: Path) -> None:
    found, _ = probe(browser, report, tmp_path, 1200, *options)
    ink, page = (np.mean([int(part) for part in re.findall(r"\d+", color)[:3]]) for color in found["colors"])
    assert (page < 64 and ink > 192) if dark else (page > 192 and ink < 64)
    assert {fill for figure in found["figures"] for _, _, fill, _ in figure["texts"]} == {found["colors"][0]}
    picture = screenshot(browser, report, tmp_path, *options)
    assert picture.shape[:2] == (1600, 1200)
    assert np.median(picture) < 0.25 if dark else np.median(picture) > 0.75
    assert picture.std() > 0.05
    for color in la.plot.COLORS[:3]:  # the lines of three rows are to be seen
        rgb = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        assert (np.abs(picture - rgb).max(axis=2) < 0.02).sum() > 200


def test_the_probe_sees_what_it_should(browser: str, tmp_path: Path) -> None:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    text = (
        f'<html><head><meta http-equiv="Content-Security-Policy" content="{policy}"><title>x</title>'
        '</head><body style="width: 3000px"><img src="http://127.0.0.1:9/x.png">'
        '<figure><svg viewBox="0 0 9 9" width="9"><text x="50">out</text></svg><figcaption>c</figcaption></figure>'
    )
    found, messages = probe(browser, text, tmp_path)
    assert found["violations"] == ["http://127.0.0.1:9/x.png"]
    assert len(messages) == 1
    assert "Content Security Policy" in messages[0]
    assert found["page"] > found["width"]
    (figure,) = found["figures"]
    assert not inside(figure["texts"][0][1], figure["box"])
    blank = screenshot(browser, "<html></html>", tmp_path)
    assert blank.std() == 0
