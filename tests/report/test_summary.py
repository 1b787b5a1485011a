"""The summary of all claims."""

import json
import re

import pytest

from replication.io.checkpoints import NETWORKS
from replication.io.files import FIGURES
from replication.report import summary as module
from replication.report.claims import claims, judge_record
from replication.report.differences import network_differences
from replication.report.glance import distances, glance
from replication.report.summary import SHOWN, judgements, overview, scales, sources, styled, summary

FOLDER = FIGURES / SHOWN


def record(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_the_stored_summary_is_that_of_the_figures():
    found = record("claims")
    assert found["results"] == summary(SHOWN).to_dict("records")
    assert found["provenance"]["figures"] == sources(SHOWN)


def test_what_is_not_there_was_not_run(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "FIGURES", tmp_path)
    assert set(overview("smoke")["verdict"]) == {"not run at this scale"}
    assert len(overview("smoke")) == len(claims())
    assert set(summary("smoke")["reason"]) == {"no such run yet"}
    assert sources("smoke") == {}
    older = record("fig5_objective")
    older["measures"].pop("256")
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "fig5_objective.json").write_text(json.dumps(older))
    assert "fig5_objective.json is of another version; run 06_objective again" in set(summary("smoke")["reason"])
    (tmp_path / "smoke" / "fig5_objective.json").unlink()
    assert scales("smoke") == []


def test_every_check_is_in_a_row_and_numbers_of_one_kind_share_one():
    rows = summary(SHOWN)
    groups = {(claim.title, check.group or check.statement) for claim in claims().values() for check in claim.checks}
    assert set(zip(rows["figure"], rows["claim"], strict=True)) == groups
    folded = rows[rows["rule"].str.contains(" hold")]
    assert len(folded)
    assert not folded["claim"].str.contains("{", regex=False).any()


def test_a_figure_is_a_row_of_its_first_check_and_the_verdict_on_its_headlines():
    rows = overview(SHOWN).set_index("figure")
    for figure, claim in claims().items():
        judgement = judge_record(record(figure))
        held = ", {} of {}".format(*judgement.held) if "partly" in judgement.verdict else ""
        ran = judgement.held[1]
        left = sum(check.headline for check in claim.checks) - ran
        assert rows.loc[claim.title, "verdict"] == judgement.verdict + held + f"; {left} not run" * bool(left and ran)


def test_claims_are_linked_to_the_cells_that_measure_them_and_sorted_by_a_click():
    html = styled(summary(SHOWN)).data
    links = re.findall(r"<a href='(\d\d_\w+)\.ipynb#([^']+)'>", html)
    assert {notebook for notebook, _ in links} == {claim.notebook for claim in claims().values()}
    assert not any(" " in section for _, section in links)
    assert "onclick" in html


def test_the_scale_is_that_of_what_was_run():
    found = {row["figure"]: row["not the paper's"] for row in scales(SHOWN)}
    assert "training steps for 40000" in found[claims()["fig6_style_transfer"].title]
    assert "networks of 19000 to 20000 training" in found[claims()["fig9_super_resolution_x8"].title]  # not those of x4
    assert "for [50, 50, 50]" in found[claims()["fig5_objective"].title]


@pytest.mark.parametrize("kind", ["style", "super_resolution"])
def test_what_differs_from_the_paper_is_a_row_a_network(kind):
    frame = network_differences(kind)
    assert frame["network"].tolist() == ["the paper's", *sorted(path.stem for path in (NETWORKS / kind).glob("*.json"))]
    assert {"photographs", "steps in all", "optimizer" if kind == "style" else "patch"} <= set(frame)
    assert "content_weight" not in frame  # which is the paper's in all of them


def test_at_a_glance_numbers_stand_in_tolerances_from_the_papers():
    rows = distances(judgements(SHOWN).values())
    assert rows
    assert all((abs(row["tolerances"]) <= 1 + 1e-9) == (row["verdict"] == "replicated") for row in rows)
    drawn = glance(rows)
    points = sum(len(line.get_xdata()) for line in drawn.axes[0].lines)
    assert points == len(rows)
