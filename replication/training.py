"""Training of an image transformation network by gradient descent; a stopped run resumes exactly (section 4)."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from replication.config import TrainingConfig
from replication.io.checkpoints import (
    check_network,
    load_checkpoint,
    load_network,
    load_origins,
    network_path,
    recorded,
    save_checkpoint,
    save_network,
)
from replication.io.files import ReplicationError, rounded, sha256, write_atomically
from replication.io.interrupts import deferred_interrupts
from replication.io.pictures import Picture
from replication.io.processes import alone, check_parts, first_process, own_part
from replication.io.provenance import origin, provenance
from replication.io.ranges import RangeError, check
from replication.io.runtime import (
    MODES,
    check_compilation,
    default_device,
    deterministic_cudnn,
    precision_of,
    progress_bar,
    training_mode,
)
from replication.optimizers import Optimizers

log = logging.getLogger(__name__)

NEVER = 2**62  # past every step


def check_machine(config: TrainingConfig) -> None:
    """Raise if processes cannot share a batch or networks not be compiled; see `check_parts`, `check_compilation`."""
    check_parts(config.batch_size, getattr(config, "norm", ""))
    if config.compiled:
        check_compilation(config.compiled, default_device())


class Trainer:
    """Trains a network and saves the state of the training, so that a stopped run resumes exactly.

    Under `torchrun`, each process computes the loss of its part of the batch, and the gradients are averaged. Batch
    norm then uses the statistics of that part, so only networks with instance norm train as in a single process.

    Args:
        network: on the device where it trains.
        losses: called with a function that applies the network, a batch of images, and the step. Returns the weighted
            terms of the loss by name, (B,) each, a value for each image. Their sum, averaged over the batch, is
            minimised.
        batch: maps a step to its images (B, 3, H, W).
        config: steps, optimizer, precision and compilation; the parameters stay in float32. Its other settings are
            recorded, and left to `network`, `losses` and `batch`.
        inputs: what else identifies this run, in JSON types; a state file with other values is refused.
        initial: the file whose weights `network` already has; it is not loaded here. Its digest identifies the run, and
            the record of the trained network holds its record.
        state: the state file, written every `save_every` seconds (with several processes, at the next line of the log),
            on Ctrl-C, SIGTERM and SIGHUP, and at the end. The log is written beside it, with the suffix .jsonl.
        log_every: steps between two lines of the log. A line holds the mean of each term since the line before, the
            learning rate, the images a second and the seconds left.

    Raises:
        RangeError: a number is outside of its range.
        ValueError, ReplicationError: the network cannot be compiled in this mode.
    """

    def __init__(
        self,
        network: nn.Module,
        losses: Callable[[Callable[[Tensor], Tensor], Tensor, int], dict[str, Tensor]],
        batch: Callable[[int], Tensor],
        config: TrainingConfig,
        inputs: dict[str, Any] | None = None,
        *,
        initial: Path | str | None = None,
        state: Path | str | None = None,
        save_every: float = 60,
        log_every: int = 50,
    ):
        check(save_every=save_every, log_every=log_every)
        self.network, self.losses, self.batch, self.config = network, losses, batch, config
        self.device = next(network.parameters()).device
        self.precision = precision_of(config.precision, self.device.type)
        self.origin: dict[str, Any] = {}  # of this process; set by its first `run`
        self.origins: list[dict[str, Any]] = []  # of the successive processes that took steps
        self.initial_record = load_network(initial, type(network))[1] if initial else None
        self.inputs = (inputs or {}) | ({"initial": sha256(Path(initial).read_bytes())} if initial else {})
        self.path, self.save_every, self.log_every = Path(state) if state else None, save_every, log_every
        if self.path:
            name = self.path.name.removesuffix(".safetensors").removesuffix(".state")
            self.log_path = self.path.with_name(f"{name}.jsonl")
        if config.compiled:
            check_compilation(config.compiled, self.device.type)
            network.compile(mode=MODES[config.compiled], dynamic=False)  # its next call takes long
        self.optimizers = Optimizers(network, config)
        self.parallel = DistributedDataParallel(network) if distributed.is_initialized() else network
        self.step, self.log = 0, []
        self.sums: dict[str, Tensor] = {}  # of the terms since the last line of the log, and the number of steps
        self.bad = torch.full((), NEVER, device=self.device)  # the first step whose loss was not finite

    def run(self, label: str = "training", until: int | None = None) -> list[dict[str, Any]]:
        """Train, resuming from the state file if there is one; afterwards the network is back in its former mode.

        Args:
            label: what the progress bar says.
            until: the step after which to stop; None for the last one. A later call continues from there.

        Returns:
            The lines of the log, from the first step on.

        Raises:
            RangeError: `until` is not positive, or more than the steps.
            ReplicationError: the state file is damaged, belongs to another run, or is past the last step; or its log
                is missing.
            FloatingPointError: the loss, or a parameter at the end, is not finite; the message names the step. The
                state file keeps the last good state.
            KeyboardInterrupt: after the state was saved.
        """
        check(optional=("until",), until=until)
        steps = until or self.config.steps
        if steps > self.config.steps:
            raise RangeError(f"until must be at most steps, {self.config.steps}; got {steps}")
        self.origin = self.origin or origin(self.device.type, self.precision)
        self._load(steps)
        if self.step < steps:
            self._note_origin(label)
        first, bar = self.step, progress_bar(steps, label, self.step, first_process())
        saved = started = time.monotonic()
        with deterministic_cudnn(), deferred_interrupts() as interrupted, training_mode(self.network), bar:
            while self.step < steps:
                images = self.advance()
                last = self.step == steps
                due = last or self.step % self.log_every == 0
                stop = self._agreed(interrupted(), due)
                if due:
                    self._check(label, last)
                    steps_per_second = (self.step - first) / (time.monotonic() - started)
                    loss = self._write_log(steps, steps_per_second, images)
                    bar.set_postfix(loss=f"{loss:.3g}", refresh=False)
                bar.update()
                whole = due or not distributed.is_initialized()  # else the sums of the other processes would be lost
                if stop or last or (whole and time.monotonic() - saved > self.save_every):
                    self._check(label, last=stop or last)
                    self._save()
                    saved = time.monotonic()
                if stop:
                    advice = f"; the same call goes on from {self.path}" if self.path else ""
                    raise KeyboardInterrupt(f"stopped after {self.step} steps{advice}")
        return self.log

    @torch.enable_grad()
    def advance(self) -> int:
        """One step; returns the number of its images, on all processes together."""
        images = self.batch(self.step)
        self.network.zero_grad()  # first, so that no gradient outlives the graph that it came from
        terms = self.losses(self._predict, own_part(images), self.step)
        sum(term.mean() for term in terms.values()).backward()
        decay = self.config.lr_decay * self.config.steps  # steps, at the end
        self.optimizers.step(min(1, (self.config.steps - self.step) / decay) if decay else 1)
        means = {name: term.detach().mean() for name, term in terms.items()}
        finite = torch.stack([*means.values()]).isfinite().all()
        self.bad = torch.where(finite, self.bad, self.bad.clamp(max=self.step))
        means["steps"] = torch.ones((), device=self.device)
        self.sums = {name: mean + self.sums.get(name, 0) for name, mean in means.items()}
        self.step += 1
        return len(images)

    def _agreed(self, here: bool, due: bool) -> bool:
        """Whether to stop now; at each line of the log, processes agree on it and on the first non-finite step."""
        if not distributed.is_initialized():
            return here
        if not due:
            return False
        flag = torch.tensor(here, dtype=torch.int32, device=self.device)
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        distributed.all_reduce(self.bad, distributed.ReduceOp.MIN)
        return bool(flag)

    def _note_origin(self, label: str) -> None:
        """Add the present code, device and versions to `origins` if they are new; a new commit alone does not count."""
        if not any(each | {"commit": self.origin["commit"]} == self.origin for each in self.origins):
            self.origins.append(self.origin)
            if self.origins[1:] and first_process():
                log.warning("%s: begun with other code, data, versions or device; the record names both", label)

    def _predict(self, images: Tensor) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            return self.parallel(images)

    def _check(self, label: str, last: bool = False) -> None:
        """Raise if a loss, or at the end a parameter, is not finite. Only this and the log wait for the device."""
        step, wrong = int(self.bad), "the loss is not finite at step"
        if step == NEVER and last and not self._finite():
            step, wrong = self.step, "the parameters are not finite after step"
        if step < NEVER:
            kept = f"; the last good state is in {self.path}" if self.path and self.path.exists() else ""
            raise FloatingPointError(f"{label}: {wrong} {step}{kept}")

    def _finite(self) -> bool:
        return all(bool(parameter.isfinite().all()) for parameter in self.network.parameters())

    def _write_log(self, steps: int, steps_per_second: float, images: int) -> float:
        """Add a line to the log; returns the loss."""
        if distributed.is_initialized():
            for total in self.sums.values():
                distributed.all_reduce(total)
        count = self.sums.pop("steps").item()
        terms = {name: total.item() / count for name, total in self.sums.items()}
        self.sums = {}
        speed = {
            "learning_rate": self.optimizers.learning_rate,
            "images_per_second": images * steps_per_second,
            "seconds_left": (steps - self.step) / steps_per_second,
        }
        self.log.append(rounded({"step": self.step} | terms | speed))
        if self.path and first_process():
            write_atomically(self.log_path, "".join(f"{json.dumps(line)}\n" for line in self.log).encode())
        return sum(terms.values())

    def _save(self) -> None:
        if not (self.path and first_process() and self._finite()):  # NaNs must not replace a good state
            return
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizers.state().items()}
        tensors |= {f"sum.{name}": value for name, value in self.sums.items()}
        tensors["step"] = torch.tensor(self.step)
        tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
        save_checkpoint(self.path, tensors, self.config.lasting | self.inputs, self.origins)

    def _load(self, steps: int) -> None:
        """Go on from the state file, if it is there."""
        tensors = load_checkpoint(self.path, self.config.lasting | self.inputs) if self.path else None
        if tensors is None:
            return
        self.step = int(tensors.pop("step"))
        self.bad.fill_(NEVER)
        self.origins = load_origins(self.path) or [{"commit": "unknown", "sources": "unknown"}]
        if self.step > steps:
            raise ReplicationError(f"{self.path} is at step {self.step}, past {steps}; remove it to start anew")
        groups: dict[str, dict[str, Tensor]] = {"network": {}, "optimizer": {}, "sum": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = value.to(self.device)
        self.network.load_state_dict(groups["network"])
        self.sums = groups["sum"]
        self.optimizers.load_state(groups["optimizer"])
        logged = self.step - int(self.sums.get("steps", 0))  # the step of this run's newest line; 0 where it has none
        text = self.log_path.read_text() if logged and self.log_path.exists() else ""
        self.log = [line for line in map(json.loads, text.splitlines()) if line["step"] <= logged]
        if logged and (not self.log or self.log[-1]["step"] < logged):
            lost = f"{self.log_path} is gone or cut short"
            raise ReplicationError(f"{lost}; put it back, or remove {self.path} to start anew")


def train_network(
    trainer: Trainer, out: Path | str, command: str, phi: nn.Module | None, inputs: Sequence[Picture] = ()
) -> list[dict[str, Any]]:
    """Run a training to its end and write the network; repeat the call to resume a stopped run.

    Args:
        trainer: its network must pass `check_network`.
        out: the network's file, .safetensors, beside which its record, .json, is written. To be resumed, the trainer
            needs a `state`, for example `state_path(out)`; the log, .jsonl, lies beside that.
        command, phi, inputs: for the provenance: the command's name, the `LossNetwork` or None, and the input pictures
            other than the photographs.

    Returns:
        The lines of the log.

    Raises:
        ReplicationError: another process trains this file; and see `Trainer.run` and `save_network`.
        FloatingPointError, KeyboardInterrupt: see `Trainer.run`.
    """
    out = network_path(out)
    check_network(trainer.network, out)  # before the first step
    with alone(out.with_name(f".{out.stem}.lock"), f"another process trains {out}; give another file"):
        lines, config = trainer.run(out.stem), trainer.config
    if first_process():
        run = SimpleNamespace(command=command, device=trainer.device.type, seed=config.seed, origins=trainer.origins)
        run.photographs, run.precision = trainer.inputs.get("photographs"), trainer.precision
        record = recorded(config, lines, provenance(run, phi, inputs))
        if trainer.initial_record:
            record["initial"] = trainer.initial_record
        save_network(trainer.network, out, record)
    return lines
