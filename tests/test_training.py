"""The training engine: torch.optim.Adam's steps, a state that resumes exactly, and every way that a run can end."""

import contextlib
import json
import resource
import shutil
import signal
import sysconfig
from pathlib import Path

import pytest
import torch
from commands import SERVER, Process
from safetensors.torch import load_file

from replication import networks
from replication.config import TrainingConfig
from replication.io import provenance
from replication.io.files import ReplicationError
from replication.io.ranges import RangeError
from replication.io.runtime import check_compilation, precision_of
from replication.networks import ImageTransformationNetwork
from replication.training import Trainer, train_network


def losses(predict, images, step=0):
    """To turn colours around: cheap, and not solved at once."""
    found = predict(images)
    return {"pixel": (found - 1 + images).square().mean((1, 2, 3)), "level": 0.1 * found.mean((1, 2, 3)).square()}


def batch(step):
    return torch.rand(2, 3, 44, 44, generator=torch.Generator().manual_seed(step)).to(memory_format=torch.channels_last)


def trainer(state=None, norm="batch", losses=losses, *, inputs=None, dtype=torch.float32, save_every=60, **config):
    torch.manual_seed(0)
    network, config = ImageTransformationNetwork(norm).to(dtype), TrainingConfig(**{"steps": 10} | config)
    return Trainer(network, losses, batch, config, inputs, state=state, save_every=save_every, log_every=4)


def tensors(trainer):
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_a_step_is_one_of_torchs_adam_on_the_mean_of_the_sum_of_the_terms():
    """In float64: where a gradient is all rounding, Adam makes a whole step of it."""
    ours = trainer(dtype=torch.float64)
    log = ours.run(until=6)
    torch.manual_seed(0)
    network = ImageTransformationNetwork().double()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, foreach=False, fused=False)
    values = []
    for step in range(6):
        terms = losses(network, batch(step)).values()
        optimiser.zero_grad()
        sum(terms).mean().backward()
        optimiser.step()
        values.append([term.mean().item() for term in terms])
    expected = network.state_dict()
    for name, value in tensors(ours).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-6, atol=1e-9)
    assert [line["step"] for line in log] == [4, 6]
    for line, rows in zip(log, (values[:4], values[4:]), strict=True):
        found = (line["pixel"], line["level"])
        assert found == pytest.approx([sum(column) / len(rows) for column in zip(*rows, strict=True)], rel=1e-5)


def test_the_network_is_left_in_the_mode_that_it_was_in():
    for training in (True, False):
        run = trainer(steps=1)
        run.network.train(training)
        run.run()
        assert run.network.training is training


def test_it_trains_where_gradients_are_off():
    expected = trainer(steps=2).run()[-1]["pixel"]
    with torch.no_grad():
        assert trainer(steps=2).run()[-1]["pixel"] == expected


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_frozen_layer_stays_as_it_is(optimizer):
    run = trainer(steps=2, optimizer=optimizer)
    first, second, *_ = (layer for layer in run.network.layers if isinstance(layer, torch.nn.Conv2d))
    first.requires_grad_(False)
    before = first.weight.clone(), second.weight.clone()
    run.run()
    assert torch.equal(first.weight, before[0])
    assert not torch.equal(second.weight, before[1])


@pytest.mark.parametrize("out", ["a.pt", "a.safetensors"])
def test_a_network_that_could_not_be_written_is_named_before_the_first_step(tmp_path, out):
    class Plain(torch.nn.Conv2d):
        """Without `configuration`."""

    run = Trainer(Plain(3, 3, 1), losses, batch, TrainingConfig(steps=5))
    message = "the suffix" if out == "a.pt" else "`configuration` has to hold the arguments of Plain"
    with pytest.raises(ReplicationError, match=message):
        train_network(run, tmp_path / out, "mine", None)
    assert run.step == 0


def test_the_learning_rate_falls_linearly_over_the_last_share_of_the_steps(tmp_path):
    log = trainer(tmp_path / "a", steps=16, lr_decay=0.5, learning_rate=0.01).run()
    assert [line["learning_rate"] for line in log] == pytest.approx([0.01, 0.01, 0.01 * 5 / 8, 0.01 / 8])
    with pytest.raises(ReplicationError, match="belongs to a run with another steps"):
        trainer(tmp_path / "a", steps=20, lr_decay=0.5, learning_rate=0.01).run()


@pytest.mark.parametrize("options", [{}, {"precision": "bfloat16"}, {"optimizer": "muon", "lr_decay": 1.0}])
def test_two_halves_are_the_whole(tmp_path, options):
    whole = trainer(**options)
    log = whole.run()
    trainer(tmp_path / "a", **options).run(until=5)
    second = trainer(tmp_path / "a", **options)
    resumed = second.run()
    assert same(tensors(whole), tensors(second))
    kept = ("step", "pixel", "level", "learning_rate")
    assert [[line[name] for name in kept] for line in resumed[-1:]] == [[log[-1][name] for name in kept]]
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == resumed


def test_the_log_of_a_run_that_was_stopped_between_two_lines_is_that_of_an_undisturbed_one(tmp_path):
    whole = trainer().run()
    with pytest.raises(KeyboardInterrupt, match="stopped after 6 steps"):
        trainer(tmp_path / "a", losses=stopping(5)).run()
    resumed = trainer(tmp_path / "a").run()
    kept = ("step", "pixel", "level", "learning_rate")
    assert [[line[name] for name in kept] for line in resumed] == [[line[name] for name in kept] for line in whole]
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == resumed


def stopping(at):
    """Losses of a run that Ctrl-C reaches in this step."""

    def stop(predict, images, step):
        if step == at:
            signal.raise_signal(signal.SIGINT)
        return losses(predict, images)

    return stop


def not_finite(at):
    """Losses of a run that are NaN in this step."""

    def broken(predict, images, step):
        terms = losses(predict, images)
        return terms | {"pixel": terms["pixel"] * (torch.nan if step == at else 1)}

    return broken


def test_a_training_that_was_stopped_ends_with_the_files_of_one_that_was_not(tmp_path):
    def train(folder, losses=losses):
        run = trainer(tmp_path / folder / "a.state.safetensors", losses=losses, inputs={"photographs": {}})
        train_network(run, tmp_path / folder / "a.safetensors", "train", None)

    for folder in ("whole", "halves"):
        (tmp_path / folder).mkdir()
    train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("halves", stopping(5))
    train("halves")
    for name in ("a.safetensors", "a.json"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "halves" / name).read_bytes()


def test_an_interrupt_while_the_last_state_is_written_is_not_lost(tmp_path, monkeypatch):
    save = Trainer._save
    monkeypatch.setattr(Trainer, "_save", lambda self: (save(self), signal.raise_signal(signal.SIGINT)))
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "a", steps=2).run()
    assert load_file(tmp_path / "a")["step"] == 2


def test_a_run_without_a_line_of_the_log_yet_goes_on_with_lines_more_often(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "a", losses=stopping(2)).run()
    run = trainer(tmp_path / "a")
    run.log_every = 2
    assert [line["step"] for line in run.run()] == [4, 6, 8, 10]


@pytest.mark.parametrize("kept", [0, 1])
def test_a_log_that_is_gone_or_cut_short_is_refused(tmp_path, kept):
    trainer(tmp_path / "a.state").run(until=8)
    log = tmp_path / "a.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text(lines[0]) if kept else log.unlink()
    with pytest.raises(ReplicationError, match=r"a.jsonl is gone or cut short; put it back, or remove .*a.state"):
        trainer(tmp_path / "a.state").run()


def test_the_lines_of_a_run_that_was_removed_are_not_those_of_the_next(tmp_path):
    trainer(tmp_path / "a", steps=2).run()
    (tmp_path / "a").unlink()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "a", losses=stopping(2), seed=1).run()
    assert [line["step"] for line in trainer(tmp_path / "a", seed=1).run()] == [4, 8, 10]


def test_an_interrupt_does_not_hide_that_the_parameters_are_lost(tmp_path):
    def broken(predict, images, step):
        terms = stopping(2)(predict, images, step)
        return terms | ({"level": (0 * terms["level"]).sqrt()} if step == 2 else {})

    with pytest.raises(FloatingPointError, match="the parameters are not finite after step 3"):
        trainer(tmp_path / "a", losses=broken).run()
    assert not (tmp_path / "a").exists()


def test_a_trainer_goes_on_from_the_last_good_state_when_its_loss_is_mended(tmp_path):
    run = trainer(tmp_path / "a", losses=not_finite(6), save_every=0)
    with pytest.raises(FloatingPointError):
        run.run()
    run.losses = losses
    assert run.run()[-1]["step"] == 10


def finished(folder):
    """A training to its end, in a process of its own, that says when it has begun."""
    run = trainer(folder / "a.state.safetensors", steps=10_000, inputs={"photographs": {}})
    run.batch = lambda step: (folder / "begun").touch() or batch(step)
    train_network(run, folder / "a.safetensors", "train", None)


@pytest.mark.slow
def test_two_processes_do_not_train_one_file(tmp_path):
    first = Process(finished, tmp_path)
    first.wait_for(tmp_path / "begun")
    other = trainer(tmp_path / "a.state.safetensors", inputs={"photographs": {}})
    with pytest.raises(ReplicationError, match=r"another process trains .*a.safetensors; give another file"):
        train_network(other, tmp_path / "a.safetensors", "train", None)
    assert other.step == 0
    first.send_signal(signal.SIGTERM)
    assert "KeyboardInterrupt: stopped after" in first.wait().stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


STEPS = 40


def train(folder, steps=STEPS, largest=resource.RLIM_INFINITY):
    """To be stopped: the state is written five times a second, and no file may become larger, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    run = trainer(folder / "run.safetensors", save_every=0.2, steps=steps)
    run.run()
    torch.save(tensors(run), folder / "out.pt")


@pytest.fixture(scope="module")
def undisturbed():
    whole = trainer(steps=STEPS)
    whole.run()
    return tensors(whole)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_process_that_was_stopped_goes_on_to_the_same_bytes(undisturbed, tmp_path, number):
    process = Process(train, tmp_path)
    process.wait_for(tmp_path / "run.safetensors")
    process.send_signal(number)
    stopped = process.wait()
    assert stopped.returncode != 0
    assert not (tmp_path / "out.pt").exists()
    done = int(load_file(tmp_path / "run.safetensors")["step"])
    assert 0 < done < STEPS
    if number != signal.SIGKILL:
        assert f"stopped after {done} steps; the same call goes on from" in stopped.stderr
    resumed = Process(train, tmp_path).wait()
    assert resumed.returncode == 0, resumed.stderr
    assert same(torch.load(tmp_path / "out.pt", weights_only=True), undisturbed)


def test_a_full_disk_loses_nothing_that_was_there(tmp_path):
    state = tmp_path / "run.safetensors"
    assert Process(train, tmp_path, 2).wait().returncode == 0
    before = state.read_bytes()
    failed = Process(train, tmp_path, 4, 1_000_000).wait()
    assert failed.returncode != 0
    assert "run.safetensors could not be written (File too large)" in failed.stderr
    assert state.read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_good_state(tmp_path):
    path = tmp_path / "run.safetensors"
    with pytest.raises(FloatingPointError, match="loss is not finite at step 6; the last good state is in"):
        trainer(path, losses=not_finite(6), save_every=0).run()
    state = load_file(path)
    assert state["step"] == 6
    assert all(value.isfinite().all() for value in state.values())


def test_a_gradient_that_is_not_finite_at_the_last_step_leaves_no_network(tmp_path):
    """The loss is, and there is no next one that would tell."""

    def broken(predict, images, step):
        terms = losses(predict, images)
        return terms | ({"level": (0 * terms["level"]).sqrt()} if step == 2 else {})

    with pytest.raises(FloatingPointError, match="the parameters are not finite after step 3"):
        trainer(tmp_path / "run.safetensors", losses=broken, steps=3).run()
    assert not (tmp_path / "run.safetensors").exists()


def test_each_state_has_its_own_log(tmp_path):
    logs = [trainer(tmp_path / name, learning_rate=rate).run(until=4) for name, rate in (("a.1", 1e-3), ("a.2", 1e-4))]
    gone_on = trainer(tmp_path / "a.1", learning_rate=1e-3).run(until=8)
    assert gone_on[:1] == logs[0] != logs[1]


def finish(state, folder, monkeypatch, sources):
    """The record of a training that goes on from `state` with these sources, at a commit of their name."""
    monkeypatch.setattr(provenance, "commit", lambda: sources)
    monkeypatch.setattr(provenance, "sources_digest", lambda: sources.removesuffix(" and a text"))
    if folder != state.parent:
        shutil.copytree(state.parent, folder)
    train_network(trainer(folder / state.name, inputs={"photographs": {}}), folder / "a.safetensors", "train", None)
    return json.loads((folder / "a.json").read_text())["provenance"]


def test_a_run_is_of_the_commit_that_it_began_at_and_names_those_that_it_went_on_with(tmp_path, monkeypatch, caplog):
    state = tmp_path / "begun" / "a.state.safetensors"
    monkeypatch.setattr(provenance, "commit", lambda: "first")
    monkeypatch.setattr(provenance, "sources_digest", lambda: "first")
    trainer(state, inputs={"photographs": {}}).run(until=4)
    same = finish(state, tmp_path / "same", monkeypatch, "first and a text")
    assert same["commit"] == "first"
    assert "continued" not in same
    assert not caplog.records
    found = finish(state, tmp_path / "other", monkeypatch, "second")
    assert (found["commit"], [origin["commit"] for origin in found["continued"]]) == ("first", ["second"])
    assert "begun with other code, data, versions or device; the record names both" in caplog.text
    again = finish(tmp_path / "other" / "a.state.safetensors", tmp_path / "other", monkeypatch, "third")
    assert again == found  # there was nothing to do


def test_states_of_other_runs_are_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    trainer(path).run(until=3)
    with pytest.raises(ReplicationError, match="belongs to a run with another learning_rate, seed"):
        trainer(path, seed=1, learning_rate=1e-4).run()
    with pytest.raises(ReplicationError, match="belongs to a run with another photographs"):
        trainer(path, inputs={"photographs": "others"}).run()
    with pytest.raises(ReplicationError, match="is at step 3, past 2; remove it to start anew"):
        trainer(path).run(until=2)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ReplicationError, match="run.safetensors is damaged or no checkpoint"):
        trainer(path).run()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_convolutions_compute_in_the_precision_of_the_config(precision):
    run, found = trainer(steps=1, precision=precision), []
    next(m for m in run.network.modules() if isinstance(m, torch.nn.Conv2d)).register_forward_hook(
        lambda module, arguments, y: found.append(y.dtype)
    )
    run.run()
    assert found == [getattr(torch, precision)]


@pytest.mark.slow
@pytest.mark.skipif(precision_of("fast", "cpu") == "float32", reason="this processor emulates bfloat16, slowly")
def test_bfloat16_trains_as_well_within_noise():
    ends = [trainer(steps=40, precision=precision).run()[-1] for precision in ("float32", "bfloat16")]
    assert ends[1]["pixel"] == pytest.approx(ends[0]["pixel"], rel=0.1)


@pytest.mark.slow
def test_compiled_gradients_are_those_of_the_plain_network(monkeypatch):
    """Of a network with one residual block: the other four would be compiled as well, each for seconds."""
    try:
        check_compilation("default", "cpu")
    except ReplicationError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(networks, "BLOCKS", 1)
    gradients = []
    for compiled in (None, "default"):
        run = trainer(dtype=torch.float64, compiled=compiled)
        log = run.run(until=1)
        gradients.append({name: parameter.grad for name, parameter in run.network.named_parameters()})
        gradients[-1] |= {"loss": torch.tensor(log[-1]["pixel"], dtype=torch.float64)}
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, rtol=1e-6, atol=1e-12)


def test_without_a_compiler_or_pythons_headers_compiled_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "true")  # a program that there is
    monkeypatch.setattr(sysconfig, "get_path", lambda *_, **__: "nowhere")
    with pytest.raises(ReplicationError, match="install python3-dev, or do without --compiled"):
        trainer(compiled="default")
    monkeypatch.setenv("CXX", "none-such")
    with pytest.raises(ReplicationError, match="install g\\+\\+, or do without --compiled"):
        trainer(compiled="default")


def test_graphs_without_a_gpu_and_unknown_ways_to_compile_are_refused():
    with pytest.raises(ValueError, match="CUDA graphs need a GPU; compile with the default"):
        trainer(compiled="graphs")
    with pytest.raises(RangeError, match="compiled must be default or graphs; got 'fast'"):
        trainer(compiled="fast")


def join(rank, file):
    """Be one of two processes, on one thread, which meet in a file."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2)


def stopped(run, file):
    """Run a training that stops, and write why."""
    try:
        run.run()
    except (FloatingPointError, KeyboardInterrupt) as error:
        Path(file).write_text(str(error))
    torch.distributed.destroy_process_group()


def two_processes(function, *arguments):
    """Call it in two processes, each with its rank first."""
    method = SERVER.get_start_method()
    torch.multiprocessing.start_processes(function, arguments, nprocs=2, start_method=method)


def worker(rank, folder):
    """One of two processes, each with half of the batch."""
    join(rank, f"{folder}/meet")
    parallel = trainer(f"{folder}/run.safetensors", norm="instance", dtype=torch.float64)
    log = parallel.run(until=2)
    gradients = {name: parameter.grad for name, parameter in parallel.network.named_parameters()}
    torch.save((gradients, log), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def broken_worker(rank, folder):
    """One of two processes, of which the second finds a loss that is not finite, between two lines of the log."""
    join(rank, f"{folder}/meet")
    stopped(trainer(norm="instance", losses=not_finite(2 if rank else None)), f"{folder}/{rank}.txt")


@pytest.mark.slow
def test_two_processes_stop_together_where_the_loss_of_one_is_not_finite(tmp_path):
    two_processes(broken_worker, str(tmp_path))
    for rank in range(2):
        assert (tmp_path / f"{rank}.txt").read_text() == "training: the loss is not finite at step 2"


def resumed_worker(rank, folder, stops):
    """One of two processes, which save whenever they may, and of which one may die after step 6."""
    join(rank, f"{folder}/{stops}")

    def dying(predict, images, step):
        if stops and step == 6:
            raise InterruptedError
        return losses(predict, images)

    began = []

    def first(step):
        began.append(step)
        return batch(step)

    parallel = trainer(f"{folder}/run.safetensors", norm="instance", losses=dying, save_every=0)
    parallel.batch = first
    with contextlib.suppress(InterruptedError):
        Path(folder, f"{rank}.json").write_text(json.dumps([line["pixel"] for line in parallel.run()]))
    Path(folder, f"{rank}.{stops}.began").write_text(str(began[0]))
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_go_on_to_the_log_of_an_undisturbed_run(tmp_path):
    logs = []
    for name, stops in (("whole", [0]), ("halves", [1, 0])):
        (tmp_path / name).mkdir()
        for stop in stops:
            two_processes(resumed_worker, str(tmp_path / name), stop)
        logs.append([json.loads((tmp_path / name / f"{rank}.json").read_text()) for rank in range(2)])
        assert [(tmp_path / name / f"{rank}.0.began").read_text() for rank in range(2)] == [str(4 * len(stops[1:]))] * 2
    assert logs[0] == logs[1]
    assert len(logs[0][0]) == 3


def interrupted_worker(rank, folder):
    """One of two processes, of which the second gets Ctrl-C between two lines of the log."""
    join(rank, f"{folder}/meet")

    def signalled(step):
        if (rank, step) == (1, 2):
            signal.raise_signal(signal.SIGINT)
        return batch(step)

    parallel = trainer(f"{folder}/run.safetensors", norm="instance")
    parallel.batch = signalled
    stopped(parallel, f"{folder}/{rank}.txt")


@pytest.mark.slow
def test_two_processes_stop_together_where_one_is_interrupted(tmp_path):
    two_processes(interrupted_worker, str(tmp_path))
    for rank in range(2):
        assert (tmp_path / f"{rank}.txt").read_text().startswith("stopped after 4 steps")
    assert load_file(tmp_path / "run.safetensors")["step"] == 4


@pytest.mark.slow
def test_two_processes_with_half_a_batch_each_are_one_with_the_whole(tmp_path):
    two_processes(worker, str(tmp_path))
    one = trainer(norm="instance", dtype=torch.float64)
    log = one.run(until=2)
    for rank in range(2):
        gradients, found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, parameter in one.network.named_parameters():
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-6, atol=1e-12)
    assert (tmp_path / "run.safetensors").exists()
    assert found[-1]["images_per_second"] > 0
    assert log[-1]["step"] == found[-1]["step"] == 2
