"""The notebooks, profile smoke: what they make, the same bytes in whatever way they are run, and an interrupt."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import nbformat
import psutil
import pytest
from commands import TIMEOUT, run_command
from PIL import Image

from replication.evaluation import AUTHORS
from replication.io.files import ROOT, data_folder, sha256
from replication.io.image_files import image_files
from replication.report import runner, summary
from replication.report.claims import claims
from replication.report.works import WORKS
from replication.style_transfer import PRETRAINED, style_network

pytestmark = pytest.mark.slow

NOTEBOOKS = {path.stem[:2]: path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
SUMMARY = runner.SUMMARY[:2]  # reads what the others make
FIG3_KEYS = {
    *("layer", "psnr", "ssim", "colour_difference", "exact_edges", "layout", "texture", "grid", "without_tv"),
    *("loss_first", "loss_last", "iterations"),
}


def record(folder, figure):
    return json.loads((folder / f"{figure}.json").read_text())


def check_what_was_said_and_made(folder, number):
    notebook = NOTEBOOKS[number]
    said = (folder / "said.txt").read_text()
    assert f"[1/1] {notebook.stem}: {runner.title_of(notebook)}" in said
    name, result, _, files = said.splitlines()[-1].split()
    assert (name, result) == (notebook.stem, "done")
    assert int(files) >= 3
    executed = nbformat.read(folder / "notebooks" / notebook.name, as_version=4)
    assert executed.metadata.papermill.output_path == f"figures/smoke/notebooks/{notebook.name}"
    assert f"figures/smoke/notebooks/{notebook.name}" in said
    return executed


@pytest.mark.parametrize("number", [number for number in NOTEBOOKS if number != SUMMARY])
def test_every_notebook_runs_and_says_what_it_made(smoke, number):
    executed = check_what_was_said_and_made(smoke(number), number)
    assert re.search(r"'image/(png|jpeg)'", str(executed.cells))


def test_a_second_run_gives_the_same_bytes(smoke, checkout):
    """Of both trainings and the batched baseline, by one command; papermill runs the optimisation again."""
    made = {"04": "style_training", "06": "fig5_objective", "08": "super_resolution_training"}
    result = run_command("figures", "--profile", "smoke", "--only", ",".join(made), cwd=checkout)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = [line.split() for line in result.stdout.splitlines()[-3:]]
    assert [row[:2] for row in summary] == [[NOTEBOOKS[number].stem, "done"] for number in made]
    for number, figure in made.items():
        for name in (f"{figure}.json", f"{figure}.png"):
            assert f"figures/smoke/{name}" in result.stdout
            assert (checkout / "figures" / "smoke" / name).read_bytes() == (smoke(number) / name).read_bytes()


@pytest.fixture
def papermill(checkout, tmp_path):
    """Plain papermill on notebook 01 of a checkout, from another folder."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()

    def run(*parameters):
        command = [sys.executable, "-m", "papermill", checkout / "notebooks" / NOTEBOOKS["01"].name, "out.ipynb"]
        command += ["-p", "profile", "smoke", *parameters]
        return subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT)

    return run


def test_plain_papermill_gives_the_same_figure(smoke, checkout, papermill):
    folder = checkout / "figures" / "smoke"
    result = papermill("-p", "iterations", "20")
    assert result.returncode == 0, result.stderr
    for name in ("fig3_feature_inversion.json", "fig3_feature_inversion.png"):
        assert (folder / name).read_bytes() == (smoke("01") / name).read_bytes()


def test_plain_papermill_does_not_take_a_strange_parameter(checkout, papermill):
    result = papermill("-p", "iteration", "3")
    assert result.returncode != 0
    assert "ReplicationError: 01_feature_inversion has no parameter iteration; it has profile, content" in result.stderr
    assert not (checkout / "figures").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_the_kernel_and_keeps_what_was_there(smoke, checkout, number):
    shutil.copytree(smoke("02"), checkout / "figures" / "smoke")
    before = {path: path.read_bytes() for path in (checkout / "figures").rglob("*") if path.is_file()}
    command = [sys.executable, "-m", "replication", "figures", "--profile", "smoke", "--only", "02"]
    command += ["-p", "iterations", "1000000"]
    with subprocess.Popen(command, cwd=checkout, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        output = b""
        while b"relu1_2:" not in output:
            output += (more := os.read(process.stderr.fileno(), 4096))
            assert more, output
        kernels = psutil.Process(process.pid).children()
        assert kernels
        process.send_signal(number)
        _, rest = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, rest
    assert b"interrupted; finished notebooks are kept; the same with --resume" in rest
    assert b"Traceback" not in rest
    assert not [kernel for kernel in kernels if kernel.is_running()]
    assert {path: path.read_bytes() for path in (checkout / "figures").rglob("*") if path.is_file()} == before


def test_the_results_of_the_one_pixel_shift(smoke):
    found = record(smoke("01"), "one_pixel_shift")
    for scores in found["results"]["psnr"]:
        assert scores["blurred"] == pytest.approx(scores["shifted"], abs=0.05)
        assert scores["noisy"] == pytest.approx(scores["shifted"], abs=0.05)
    ratios = found["results"]["over the loss of the shifted"]
    assert found["measures"]["feature loss"] == min(ratios["relu3_3"]["blurred"] + ratios["relu3_3"]["noisy"]) > 1
    assert min(ratios["relu1_2"]["noisy"]) < 1 < min(ratios["relu4_3"]["noisy"])


def test_the_results_of_fig3_and_fig4(smoke):
    fig3, fig4 = record(smoke("01"), "fig3_feature_inversion"), record(smoke("02"), "fig4_style_reconstruction")
    layers3, layers4 = (found["results"]["layers"] for found in (fig3, fig4))
    assert [row["layer"] for row in layers3] == ["relu2_2", "relu3_3", "relu4_3", "relu5_1", "relu5_3"]
    assert all(set(row) >= FIG3_KEYS for row in layers3)
    assert [row["layer"] for row in layers4] == ["relu1_2", "relu2_2", "relu3_3", "relu4_3"]
    for found, layers, folder in ((fig3, layers3, smoke("01")), (fig4, layers4, smoke("02"))):
        assert found["provenance"]["settings"]["iterations"] == 20
        assert all(row["loss_last"] < row["loss_first"] for row in layers)
        picture = Image.open(folder / f"{found['figure']}.png")
        assert json.loads(picture.text["Provenance"]) == found["provenance"]


def test_the_measures_of_fig3_are_the_less_favourable_of_both_rows(smoke):
    found = record(smoke("01"), "fig3_feature_inversion")
    measures, others = found["measures"], found["results"]["others"]
    ends = [others["relu5_3"], others["relu5_3, no TV"]]
    assert measures["colour"] == pytest.approx(min(row["colour_difference"] for row in ends), rel=1e-4)
    chance = max(row["layout"] for name, row in others.items() if name.startswith("another"))
    assert measures["layout"] == pytest.approx(min(row["layout"] for row in ends) - chance, abs=1e-4)
    shifted = others["shifted"]["exact_edges"]
    assert measures["exact shape"] == pytest.approx(max(row["exact_edges"] for row in ends) - shifted, abs=1e-4)


def test_shuffled_positions_change_nothing_and_shuffled_blocks_what_higher_layers_see(smoke):
    found = record(smoke("02"), "fig4_style_reconstruction")
    assert found["measures"]["permutation"] < 1e-12
    blocks = [row["blocks of 8"] for row in found["results"]["shuffled blocks"]]
    assert blocks == sorted(blocks)
    sizes = found["results"]["another size and shape"]
    assert all(
        row["ratio"] == pytest.approx(row["the whole, larger"] / row["nearest other"], rel=1e-4) for row in sizes
    )


def test_the_results_of_the_baseline(smoke):
    found = record(smoke("03"), "gatys_baseline")
    results = found["results"]
    assert [(row["painting"], row["photograph"]) for row in results["images"]] == [
        (style, content) for style in ("great_wave", "village_street_in_auvers") for content in ("chelsea", "astronaut")
    ]
    for row in results["images"]:
        assert row["total"] == pytest.approx(row["content"] + row["style"] + row["total_variation"], rel=1e-4)
        assert row["share_after_20"] == pytest.approx(row["total"] / row["content_image"], rel=1e-4)
        assert row["share_after_20"] < 0.8 * row["share_after_10"]
    assert found["measures"]["settles"] == max(abs(row["last_fifth"]) for row in results["images"])
    shares = results["share_of_values_out_of_range_unclipped"]
    assert found["measures"]["range"] == min(shares)
    assert 0 < min(shares) <= max(shares) < 0.2
    assert len(results["final_objective_by_method"]) == 4
    assert all(len(curve) == 21 for curve in results["objective_by_iteration"].values())
    assert len(found["provenance"]["inputs"]) == 4


def test_the_results_of_style_training(smoke):
    results = record(smoke("04"), "style_training")["results"]
    assert len(set(results["operations_by_downsampling"].values())) == 1
    assert list(results["receptive_field"].values()) == [9, 11, 15, 31, 47, 63, 79, 95]
    assert results["layers"][-1]["parameters"] == 1_679_235
    assert {name: len(each) for name, each in results["loss_by_seed"].items()} == {
        "step": 2,
        "with shortcuts": 2,
        "without": 2,
    }
    assert len(results["shipped_log"]["style"][0]) > 10
    recipes = record(smoke("04"), "table_recipes")["results"]
    assert len(recipes) == 9
    assert all(row["images"] == 4 and row["peak 2 at 128"] > 0 for row in recipes)


def test_the_style_networks_of_a_figure_are_told_by_their_digests(smoke):
    for number, figure in (("05", "fig6_style_transfer"), ("06", "fig5_objective"), ("07", "table1_speed")):
        source = record(smoke(number), figure)["provenance"]
        names = source["settings"].get("styles") or [source["settings"]["style"]]
        assert source["networks"] == {name: sha256((PRETRAINED / f"{name}.safetensors").read_bytes()) for name in names}


def test_the_results_of_style_transfer(smoke):
    fig6, fig7 = (record(smoke("05"), name) for name in ("fig6_style_transfer", "fig7_style_transfer_512"))
    assert len(fig6["results"]) == 2 * 2  # networks with a baseline, photographs
    for row in fig6["results"]:
        assert row["objective of network"] < row["objective of photograph"]
        ratio = row["objective of network"] / row["objective of baseline"]
        assert row["objective over baseline's"] == pytest.approx(ratio, rel=1e-4)
        more = row["repetition of network"] - row["repetition of baseline"]
        assert row["repetition, more"] == pytest.approx(more, abs=1e-5)
    ratios = [row["objective over baseline's"] for row in fig6["results"]]
    assert fig6["measures"]["objective"][0] == pytest.approx(sum(ratios) / len(ratios), rel=1e-4)
    results = fig7["results"]
    networks = len(results["lattices"])
    assert len(results["shares"]) == len(results["masks"]) == 2 * networks
    assert all(row["share at 128"] < 1 for row in results["shares"])
    assert fig7["measures"]["share"] == max(row["quotient"] for row in results["shares"])
    assert fig7["measures"]["lattice"] == max(results["lattices"].values())
    assert len(results["growth of repetition"]) == 1


def test_the_results_of_the_objective(smoke):
    results = record(smoke("06"), "fig5_objective")["results"]
    assert [row["norm"] for row in results["networks"]] == ["instance", "batch"]
    for row in results["networks"]:
        assert row["fewest"] <= row["median"] <= row["most"] <= 6
        assert row["photograph over it"] > 1
    (plot,) = results["curves"].values()
    assert plot["lines"].keys() == {
        "photograph",
        "great_wave_instance, instance norm",
        "great_wave, batch norm",
    }


def test_the_results_of_your_own_pictures(smoke):
    found, blind = record(smoke("11"), "your_own_pictures"), record(smoke("11"), "table_blind_test")
    assert list(found) == ["picture", "results", "provenance"]
    assert json.loads(Image.open(smoke("11") / "your_own_pictures.png").text["Provenance"]) == found["provenance"]
    photograph, network, baseline = found["results"]
    assert photograph["style left"] == 1
    assert max(network["style left"], baseline["style left"]) < 0.8
    assert len(blind["results"]) == 2
    assert all(row["chosen"] is None for row in blind["results"])
    trained, _ = style_network(smoke("11") / "your_own_style.safetensors")
    assert trained.configuration["norm"] == "instance"


def check_work(rows, methods):
    """Times and memory of one kind of work, by method."""
    assert [*rows] == ["bare convolutions", *methods]
    bare = rows["bare convolutions"]
    assert bare["peak GB"] is None
    assert bare["share of peak"] > 0  # on a CPU up to 2.4: there the product is no bound
    for method, row in rows.items():
        assert 0 < row["lower_quartile"] <= row["seconds"] <= row["upper_quartile"]
        assert row["ratio"] == pytest.approx(row["seconds"] / bare["seconds"], rel=1e-4)
        assert row["share of peak"] * row["ratio"] == pytest.approx(bare["share of peak"], rel=1e-4)
        assert method == "bare convolutions" or 0.2 < row["peak GB"] < 4


def test_the_results_of_speed_work_and_memory(smoke):
    names = ("table1_speed", "table_works", "table_memory")
    speed, works, memory = (record(smoke("07"), name)["results"] for name in names)
    assert [(row["size"], row["precision"]) for row in speed] == [(64, "float32")]
    for work, methods in WORKS.items():
        check_work({row["method"]: row for row in works if row["work"] == work}, methods)
    assert len(memory) == 4
    assert all(0.2 < row["peak GB"] < 4 for row in memory)
    assert (smoke("07") / "table_works.csv").read_text().startswith("work,size,precision,method,seconds,")


def test_the_results_of_super_resolution_training(smoke):
    results = record(smoke("08"), "super_resolution_training")["results"]
    assert next(iter(results["scores"])) == "bicubic"
    assert len(results["scores"]) == 5
    assert all(score.keys() == {"psnr", "ssim", "grid", "detail"} for score in results["scores"].values())
    assert list(results["stages"]) == [f"{loss} 0 {step}" for loss in ("pixel", "feature") for step in (1, 2, 4)]
    assert results["logs"].keys() == {"pixel 0", "feature 0"}
    for log in results["shipped_log"].values():
        assert log["reconstruction"][-1] < log["reconstruction"][0]


def check_super_resolution(folder):
    found = record(folder, "table_super_resolution")
    trained = ["pixel", "pixel, histogram matched", "feature", "feature, histogram matched"]
    own = [(row["factor"], row["method"]) for row in found["results"] if row["method"] != AUTHORS]
    assert own == [
        *((4, method) for method in ("bicubic", *trained[:2], "srcnn", *trained[2:])),
        *((8, method) for method in ("bicubic", *trained)),
    ]
    assert {"x4_pixel", "x4_feature", "x8_pixel", "x8_feature", "srcnn_x4"} <= found["provenance"]["networks"].keys()
    text = (folder / "table_super_resolution.csv").read_text()
    assert text.startswith("set,factor,method,psnr,psnr_sd,ssim,ssim_sd,paper_psnr,paper_ssim,")
    for name, methods in (("fig8_super_resolution_x4", 4), ("fig9_super_resolution_x8", 3)):
        figure = record(folder, name)
        shown = [
            [method for method in scores if method != AUTHORS] for scores in figure["results"]["examples"].values()
        ]
        assert [len(scores) for scores in shown] == [methods] * len(shown)
        assert {value for key, value in figure["measures"].items() if "Set" in key} == {None}  # one picture is no set


def test_the_results_of_super_resolution(smoke):
    check_super_resolution(smoke("09"))


@pytest.mark.data("train", "val", "sr/set5")
def test_the_notebooks_read_the_data_folder(checkout):
    done = run_command("figures", "--profile", "smoke", "--only", "04,06,08,09", cwd=checkout)
    assert done.returncode == 0, done.stdout + done.stderr
    made, (train, val) = (
        checkout / "figures" / "smoke",
        (image_files(data_folder() / name) for name in ("train", "val")),
    )
    for figure in ("style_training", "super_resolution_training"):
        assert record(made, figure)["provenance"]["photographs"]["count"] in range(len(train) // 2, len(train) + 1)
    pictures = record(made, "fig5_objective")["provenance"]["inputs"]
    assert [picture["name"] for picture in pictures[:2]] == [path.stem for path in val[:2]]
    check_super_resolution(made)
    assert {row["set"] for row in record(made, "table_super_resolution")["results"]} == {"set5"}


def test_the_summary_of_all_claims(smoke, monkeypatch):
    folder = smoke(SUMMARY)
    check_what_was_said_and_made(folder, SUMMARY)
    found = record(folder, "claims")
    assert {row["figure"] for row in found["results"]} == {claim.title for claim in claims().values()}
    monkeypatch.setattr(summary, "FIGURES", folder.parent)
    assert found["results"] == summary.summary("smoke").to_dict("records")
    assert (folder / "claims.csv").read_text().startswith("figure,source,claim,paper,ours,rule,why,kind,verdict,reason")
    assert set(found["provenance"]["figures"]) == claims().keys()
    assert (folder / "table_differences_style.csv").exists()
