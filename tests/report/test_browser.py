"""The page in a browser, where there is one: widths, contrast in light and dark, filter and sorting."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from signmag_jax import report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
CHECKS = Path(__file__).with_name("browser.js").read_text(encoding="utf-8")
DARK = "--blink-settings=preferredColorScheme=0"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


def complaints(page, folder, *options):
    """What the checks of `browser.js` find, and what the page writes to the console."""
    whole = json.dumps(page).replace("</", "<\\/")
    (folder / "checks.html").write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><body><pre id="found">not checked</pre>'
        f"<script>const PAGE = {whole};\n{CHECKS}</script>",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"),
            *(f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", *options),
            *("--dump-dom", (folder / "checks.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    (found,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found != "not checked"
    return [*json.loads(html.unescape(found)), *re.findall(r"CONSOLE.*", done.stderr)]


@pytest.mark.parametrize("options", [(), (DARK,)], ids=["light", "dark"])
def test_the_page_fits_every_width_can_be_read_and_answers_clicks(small_ledger, tmp_path, options):
    assert complaints(report.render(small_ledger), tmp_path, *options) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("</h1>", '</h1><div style="width: 500px">wide</div>', "390, folded: scrolls"),
        ("--soft: #b5bac2", "--soft: #55595f", "contrast"),
        ("row.hidden =", "row.hiden =", "rows"),
        ("(x > y) - (x < y)", "0", "unsorted"),
        ('"use strict";', '"use strict"; console.error("oh");', "oh"),
    ],
    ids=["width", "contrast", "filter", "sorting", "console"],
)
def test_a_broken_page_is_noticed(small_ledger, tmp_path, old, new, complaint):
    """Controls of the checks themselves."""
    page = report.render(small_ledger)
    assert old in page
    found = complaints(page.replace(old, new), tmp_path, DARK)
    assert any(complaint in one for one in found), found
