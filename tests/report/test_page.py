"""The page stands alone, shows what the ledger says, and is made from the saved file only."""

import json
import re

import jsonschema
import pytest

from signmag_jax import report
from signmag_jax.claims import ledger as ledgers
from signmag_jax.evidence import InvalidInput


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
    assert "<script" not in page
    assert page.count("<svg") == 2
    for row in small_ledger["rows"]:
        assert row["name"] in page
        assert row["verdict"] in page
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
    with pytest.raises(InvalidInput, match="schema 2"):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_failures_of_ours_are_counted(small_ledger):
    verdicts = {row["name"]: row["verdict"] for row in small_ledger["rows"]}
    assert verdicts == {"a.reproduced": "REPRODUCED", "a.not_run": "NOT RUN", "a.failing": "DISAGREES"}
    assert small_ledger["summary"]["claims of ours that fail"] == 1
