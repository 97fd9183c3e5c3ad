"""The page stands alone, shows what the ledger says, and is made from the saved file only."""

import itertools
import json
import re
from importlib import resources

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signmag_jax import report
from signmag_jax.claims import ledger as ledgers
from signmag_jax.evidence import InvalidInput
from signmag_jax.report import pictures, plots, style


def test_the_ledger_satisfies_the_shipped_schema(small_ledger):
    jsonschema.validate(small_ledger, ledgers.schema())
    broken = json.loads(json.dumps(small_ledger))
    broken["rows"][0]["verdict"] = "FINE"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, ledgers.schema())


def test_page_is_self_contained_and_complete(tmp_path, small_ledger):
    ledgers.save(small_ledger, tmp_path)
    page = report.write(tmp_path).read_text()
    # Namespace names are identifiers, not addresses that a browser loads.
    loaded = re.findall(r"(?:src|href)=[\"'](?!data:|#)([^\"']*)", re.sub(r"xmlns[^ >]*", "", page))
    assert loaded == []
    assert "@import" not in page
    assert page.count("<script>") == page.count("<script") == 1
    assert page.count("<svg") == 2
    for row in small_ledger["rows"]:
        assert row["name"] in page
        assert f'data-verdict="{row["verdict"]}"' in page
    assert "&lt;angle&gt;" in page
    assert "2.6448(13)" in page


def test_no_two_elements_of_the_page_have_one_id(tmp_path, small_ledger):
    ledgers.save(small_ledger, tmp_path)
    page = report.write(tmp_path).read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) > 20
    assert len(set(ids)) == len(ids)
    used = {*re.findall(r'href="#([^"]*)"', page), *re.findall(r"url\(#([^)]*)\)", page)}
    assert used
    assert used <= set(ids)


def test_the_page_is_the_same_when_made_again(tmp_path, small_ledger):
    ledgers.save(small_ledger, tmp_path)
    assert report.write(tmp_path).read_text() == report.write(tmp_path).read_text()


def test_an_unreadable_run_folder_is_named(tmp_path, small_ledger):
    with pytest.raises(InvalidInput, match="signmag reproduce --out"):
        report.write(tmp_path)
    (tmp_path / "ledger.json").write_text('{"schema": 1, "ro')
    with pytest.raises(InvalidInput, match="not a readable ledger"):
        report.write(tmp_path)
    (tmp_path / "ledger.json").write_text(json.dumps({**small_ledger, "schema": 99}))
    with pytest.raises(InvalidInput, match="schema 3"):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_failures_of_ours_are_counted(small_ledger):
    verdicts = {row["name"]: row["verdict"] for row in small_ledger["rows"]}
    assert verdicts == {"a.reproduced": "REPRODUCED", "a.not_run": "NOT RUN", "a.failing": "DISAGREES"}
    assert small_ledger["summary"]["claims of ours that fail"] == 1


CSS = resources.files("signmag_jax.report").joinpath("templates/report.css").read_text(encoding="utf-8")
LIGHT, DARK, PRINTED = (dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in CSS.split(":root {")[1:])
GRAPHIC = ("predicted", "paper", "simulated", "measured")


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_the_page(scheme):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert len(scheme) == 15
    for name, color in scheme.items():
        if name not in ("page", "card", "line"):
            needed = 3.0 if name in GRAPHIC else 4.5
            assert min(contrast(color, scheme[ground]) for ground in ("page", "card")) >= needed, name


def test_the_pictures_take_the_colours_of_the_page():
    assert {name: LIGHT[name] for name in GRAPHIC} == style.COLORS
    figure, axes = style.single()
    axes.plot([1, 2], color=style.COLORS["paper"])
    text = style.embedded(style.svg(figure), "name", "A title")
    assert f"var(--paper, {LIGHT['paper']})" in text
    assert style.INK not in text
    assert 'aria-label="A title"' in text


def test_the_printed_page_is_the_light_one_and_no_width_is_fixed():
    assert {**LIGHT, **PRINTED} == LIGHT
    assert re.findall(r"(?<![\w-])width: *\d[^;]*(?<!%);", CSS) == []


# Machado, Oliveira and Fernandes (2009), full deficiency, on linear red, green and blue.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopes": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopes": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.01182, 0.04294, 0.968881],
    ],
}


def lightness_and_hue(color, seen):
    """CIE L*a*b* of a colour as it is seen."""
    linear = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(np.asarray(seen) @ linear, 0, 1) / to_xyz.sum(axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def nearest(colors, seen):
    points = [lightness_and_hue(color, seen) for color in colors]
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(points, 2))


@pytest.mark.parametrize("who", SEEN_BY)
def test_no_two_routes_look_alike(who):
    for scheme in (style.COLORS, {name: DARK[name] for name in GRAPHIC}):
        assert nearest(scheme.values(), SEEN_BY[who]) > 20
    assert nearest(("#a03020", "#306020"), SEEN_BY["protanopes"]) < 20  # control: red and green


def test_several_rates_or_layers_have_each_its_own_label():
    figure = pictures.curve("rate", [0.01, 0.1], [[3.6, 3.5], [5.5, 4.6]], "depth")
    assert {text.get_text() for text in figure.axes[0].texts} == {"L = 1", "L = 2"}
    assert len({line.get_color() for line in figure.axes[0].lines[:2]}) == 2
    alone = pictures.curve("rate", [0.01, 0.1], [2.6, 2.3], "law")
    assert list(alone.axes[0].texts) == []


def test_seven_matrices_have_seven_looks():
    assert len(set(style.PALETTE)) == len(set(style.SHAPES)) == 7
    assert len(set(itertools.islice(plots.looks(), 28))) == 28


def test_a_map_names_its_layers_by_their_numbers():
    figure = plots.maps({"q_proj": [[0.0, 1.0], [1.0, 0.0]]}, "slope", (10, 11))
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["10", "11"]


@given(st.lists(st.floats(-2, 3), min_size=1, max_size=9))
def test_labels_do_not_overlap_and_stay_with_their_lines(heights):
    _, axes = style.single()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    style.label(axes, [(height, style.INK, "name") for height in heights])
    places = sorted(text.get_position()[1] for text in axes.texts)
    assert all(above - below > 0.99 * style.SPREAD for below, above in itertools.pairwise(places))
    assert places[-1] <= 1 + 1e-9
    assert places[0] >= 0 - 1e-9
