"""The trainer: one plain loop for every recipe that is a sum of losses, resumable to the last bit on the CPU."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.metrics import METRICS
from models import checkpoint
from models.checkpoint import CheckpointInfo
from models.pair_dataset import Pair, PairSampler, centre_crop
from models.recipes import Recipe
from models.restorer import Restorer
from models.training_forms import form_of, start_at_the_blurred_image
from models.training_plan import DEFAULT_OUT, Plan, TrainConfig, find, plan
from models.training_progress import progress
from synth import atomic

__all__ = ["DEFAULT_OUT", "Plan", "TrainConfig", "TrainingFailed", "estimate_seconds", "find", "plan", "train"]

VALIDATION_CROP_PX = 256


class TrainingFailed(RuntimeError):
    """Training had to stop; the last checkpoint is good."""


def train(config: TrainConfig, resume: bool) -> CheckpointInfo:
    """Train, or go on, or return what is finished already.

    Errors: ValueError, FileNotFoundError (bad configuration; unfinished training without `resume`); TrainingFailed (the
    loss is not finite); OSError (disk full). What was written before stays valid.
    """
    chosen = plan(config)
    done = checkpoint.read(chosen.folder)
    if done is None and (chosen.folder / checkpoint.STATE).is_file():
        raise ValueError(f"{chosen.folder} holds a training without its {checkpoint.META}; remove it")
    if done is not None:
        if differences := checkpoint.differences(done, chosen.configuration):
            raise ValueError(
                f"{chosen.folder} holds a training of another configuration ({'; '.join(differences)}); choose another "
                "--out, or remove it"
            )
        if done.finished:
            checkpoint.verify(done)
            return done
        if not resume:
            raise ValueError(
                f"{chosen.folder} holds an unfinished training; add --resume to go on with it, or remove it"
            )
    with _reproducible(chosen):
        return _Training(chosen).run()


def estimate_seconds(config: TrainConfig) -> float:
    """How long training would take here, from one step on a crop; 0 where a finished checkpoint is at hand."""
    chosen = plan(config)
    info = checkpoint.read(chosen.folder)
    if info is not None and info.finished:
        return 0.0
    with _reproducible(chosen):
        training = _Training(chosen)
        training.step(0)
        started = time.perf_counter()
        training.step(1)
        return (time.perf_counter() - started) * chosen.steps


class _Training:
    """The state of a run: weights, moments, moving average."""

    def __init__(self, chosen: Plan) -> None:
        self.plan, self.recipe = chosen, chosen.recipe
        self.module = chosen.spec.build()
        if self.recipe.starts_at_blur:
            start_at_the_blurred_image(self.module)
        # Channels last: a tenth less time for a step on a CPU.
        self.module = self.module.to(chosen.device).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.outputs = form_of(self.module).outputs
        self.average = {key: value.detach().clone() for key, value in self.module.state_dict().items()}
        self.optimiser = torch.optim.Adam(
            self.module.parameters(), lr=self.recipe.learning_rate, betas=self.recipe.betas, foreach=False
        )
        self.sampler = PairSampler(
            chosen.sets.train,
            seed=chosen.config.seed,
            crop_px=chosen.crop_px,
            clip_frames=chosen.clip_frames,
            flips=self.recipe.flips,
            reversal=self.recipe.reversal,
            response_share=self.recipe.response_share,
        )

    def run(self) -> CheckpointInfo:
        from torch.utils.tensorboard import SummaryWriter

        first = self.load()
        if first == 0:
            self.describe(0, None, weights_sha256="")  # from here on the folder belongs to this configuration
        log = SummaryWriter(str(self.plan.folder / "tensorboard"), purge_step=first)
        try:
            with progress(f"training {self.plan.config.model}", self.plan.steps, first) as advance:
                for step in range(first, self.plan.steps):
                    loss = self.step(step)
                    log.add_scalar("loss", loss, step)
                    log.add_scalar("learning_rate", self.optimiser.param_groups[0]["lr"], step)
                    advance(f"loss {loss:.4f}")
                    if (step + 1) % self.recipe.checkpoint_every == 0 and step + 1 < self.plan.steps:
                        self.save(step + 1, None)
                    if self.recipe.validate_every and (step + 1) % self.recipe.validate_every == 0:
                        self.validate(log, step + 1)
            return self.save(self.plan.steps, self.validate(log, self.plan.steps))
        finally:
            log.close()

    def step(self, step: int) -> float:
        """One optimiser step; returns the loss. Chance depends on the seed and the step number alone."""
        torch.manual_seed((self.plan.config.seed << 32) + step)  # dropout
        blur, sharp = (side.to(self.plan.device) for side in self.sampler.batch(step, self.recipe.batch))
        rate = self.recipe.learning_rate_at(step, self.plan.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.recipe.loss(self.outputs(self.module, blur, sharp))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise self.failure(f"the loss became {value} at step {step}")
        loss.backward()
        if self.recipe.gradient_clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.gradient_clip)
        self.optimiser.step()
        self._update_average(step)
        return value

    def _update_average(self, step: int) -> None:
        # A short memory at first, so that the untrained start is soon forgotten.
        decay = min(self.recipe.ema_decay, (1 + step) / (10 + step))
        for key, value in self.module.state_dict().items():
            if value.is_floating_point() and self.recipe.ema_decay:
                self.average[key].lerp_(value.detach(), 1 - decay)
            else:
                self.average[key].copy_(value.detach())

    def validate(self, log: Any, steps_done: int) -> dict[str, float | None]:
        """PSNR of the averaged network and of its input on the held-out pairs: middle crops, rounded to 8 bits."""
        pairs = self.plan.sets.validation
        if not pairs:
            return {"psnr": None, "psnr_blur": None}
        module = self.plan.spec.build()
        module.load_state_dict(self.average)
        restorer = Restorer(self.plan.spec, module, self.plan.device)
        restored, blurred = [], []
        for clip in _by_sequence(pairs):
            blur = [centre_crop(pair.blur, VALIDATION_CROP_PX) for pair in clip]
            sharp = [centre_crop(pair.sharp, VALIDATION_CROP_PX) for pair in clip]
            try:
                outputs = list(restorer.restore(iter(blur)))
            except FloatingPointError as error:
                raise self.failure(f"{error} after {steps_done} steps") from None
            for output, source, target in zip(outputs, blur, sharp, strict=True):
                restored.append(METRICS["psnr"].fn((output * 255).round() / 255, target))
                blurred.append(METRICS["psnr"].fn(source, target))
        result = {"psnr": sum(restored) / len(restored), "psnr_blur": sum(blurred) / len(blurred)}
        for key, value in result.items():
            log.add_scalar(f"validation/{key}", value, steps_done)
        return {key: value if math.isfinite(value) else None for key, value in result.items()}

    def load(self) -> int:
        """Take up the last saved state; returns the number of steps done."""
        path = self.plan.folder / checkpoint.STATE
        if not path.is_file():
            return 0
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            state = load(path.read_bytes())
        except SafetensorError:
            raise ValueError(f"{path} is damaged; remove {path.parent} and train again") from None
        self.module.load_state_dict(_section(state, "weights."))
        for key, value in _section(state, "average.").items():
            self.average[key].copy_(value)
        moments = self.optimiser.state_dict()
        moments["state"] = {}
        for index, parameter in enumerate(self.module.parameters()):
            if f"adam.{index}.step" not in state:
                continue  # a layer that is never run
            # In the memory layout of the parameter, as Adam makes them: sums over another layout round differently.
            moments["state"][index] = {
                name: torch.empty_like(parameter, device="cpu").copy_(state[f"adam.{index}.{name}"])
                for name in ("exp_avg", "exp_avg_sq")
            } | {"step": state[f"adam.{index}.step"]}
        self.optimiser.load_state_dict(moments)
        return int(state["steps_done"])

    def save(self, steps_done: int, validation: dict[str, float | None] | None) -> CheckpointInfo:
        """Write state, weights and description, in this order; each in one step. `validation` is given at the end.

        Errors: TrainingFailed if a weight is not finite; nothing is written then.
        """
        if not all(bool(value.isfinite().all()) for value in self.module.state_dict().values()):
            raise self.failure(f"a weight became NaN or infinite before step {steps_done}")
        state: dict[str, Tensor] = {"steps_done": torch.tensor(steps_done)}
        state |= {f"weights.{key}": value for key, value in self.module.state_dict().items()}
        state |= {f"average.{key}": value for key, value in self.average.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        folder = self.plan.folder
        atomic.write_bytes(folder / checkpoint.STATE, checkpoint.pack(state))
        digest = atomic.write_bytes(folder / checkpoint.WEIGHTS, checkpoint.pack(self.average))
        return self.describe(steps_done, validation, weights_sha256=digest)

    def failure(self, what: str) -> TrainingFailed:
        return TrainingFailed(
            f"{self.plan.config.model}: {what}; the last checkpoint in {self.plan.folder} is good; try another seed"
        )

    def describe(
        self, steps_done: int, validation: dict[str, float | None] | None, *, weights_sha256: str
    ) -> CheckpointInfo:
        """Write checkpoint.json."""
        config, recipe = self.plan.config, self.recipe
        meta = {
            "model": config.model,
            "recipe": recipe.name,
            "profile": recipe.profile,
            "finished": validation is not None,
            "steps": self.plan.steps,
            "steps_done": steps_done,
            "seed": config.seed,
            "device": self.plan.device.type,
            "threads": config.threads,
            "pairs": len(self.plan.sets.train),
            "pairs_digest": self.plan.sets.digest,
            "held_out": self.plan.sets.held_out,
            "loss": " + ".join(f"{weight:g} {name}" for name, weight in recipe.losses),
            "feature_net": "",
            "switches": switches(recipe, bool(form_of(self.module).residual)),
            "validation": validation,
            "weights_sha256": weights_sha256,
            "configuration": self.plan.configuration,
        }
        atomic.write_json(self.plan.folder / checkpoint.META, meta)
        written = checkpoint.read(self.plan.folder)
        assert written is not None
        return written


def switches(recipe: Recipe, residual: bool) -> list[str]:
    """What a reader of the table must know about how a network was trained. residual: it adds to the blurred image."""
    found = [f"recipe {recipe.name}"]
    if recipe.starts_at_blur and residual:
        found.append("last layer starts at zero")
    if recipe.response_share:
        found.append(f"other camera responses for {recipe.response_share:.0%} of the samples")
    if recipe.profile == "quick":
        found.append("loss " + " + ".join(f"{weight:g} {name}" for name, weight in recipe.losses))
    return found


def _by_sequence(pairs: tuple[Pair, ...]) -> list[list[Pair]]:
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    return [sorted((pair for pair in pairs if pair.sequence == name), key=lambda pair: pair.order) for name in names]


def _section(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


@contextmanager
def _reproducible(chosen: Plan) -> Iterator[None]:
    """Deterministic kernels, a fixed number of threads, and the same starting weights for the same seed."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_num_threads(chosen.config.threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.manual_seed(chosen.config.seed)
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
