"""Every command and every snippet of the README and of the site runs."""

import re
import shlex
from pathlib import Path

import pytest
from texts import write_words

from signmag_jax.cli import run

CHECKOUT = Path(__file__).parents[2]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs/pages").glob("*.md"))]
TEXTS = {page.name: page.read_text() for page in PAGES}


def blocks(kind):
    """(page, code) of each block of a kind."""
    return [
        (name, code)
        for name, text in TEXTS.items()
        for code in re.findall(rf"```{kind}\n(.*?)```", text, re.S)
    ]


COMMANDS = [(name, code.splitlines()) for name, code in blocks("sh") if code.startswith("signmag ")]
SESSIONS = [
    (name, command, output.strip())
    for name, code in blocks("console")
    for command, output in re.findall(r"^\$ signmag (.*?)\n(.*?)(?=^\$ |\Z)", code, flags=re.M | re.S)
]
# A model's compilation takes seconds.
LIGHT = ("signmag law", "signmag reproduce --dry-run")


def marked(lines):
    return () if all(line.startswith(LIGHT) for line in lines) else pytest.mark.slow


def test_there_is_something_to_check():
    assert len(COMMANDS) >= 8
    assert len(SESSIONS) >= 2
    assert len(blocks("python")) >= 4


@pytest.mark.parametrize(
    ("page", "lines"),
    [pytest.param(name, lines, marks=marked(lines)) for name, lines in COMMANDS],
)
def test_the_commands_of_a_block_run_one_after_another(
    tmp_path, monkeypatch, capsys, hub_folder, page, lines
):
    monkeypatch.chdir(tmp_path)
    text = write_words(tmp_path / "text.txt")
    for line in lines:
        # The model of the tests knows 64 positions and few words.
        small = ["--window", "16", "--text", str(text)] if "--model FOLDER" in line else []
        arguments = shlex.split(line.replace("FOLDER", str(hub_folder)))[1:]
        assert run([*arguments, *small]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("page", "command", "output"),
    [
        pytest.param(*session, marks=pytest.mark.slow if "--network" in session[1] else ())
        for session in SESSIONS
    ],
)
def test_a_session_prints_what_is_shown(capsys, page, command, output):
    assert run(shlex.split(command)) == 0
    assert capsys.readouterr().out.strip() == output


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({name for name, _ in blocks("python")}))
def test_the_snippets_of_a_page_run_one_after_another(hub_folder, page):
    names = {}
    for name, code in blocks("python"):
        if name == page:
            exec(code.replace("FOLDER", str(hub_folder)), names)
