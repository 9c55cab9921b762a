"""The trainer: one plain loop for every recipe that is a sum of losses, resumable to the last bit on the CPU."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from benchmark.metrics import METRICS
from models import checkpoint
from models.checkpoint import CheckpointInfo
from models.pair_dataset import Pair, PairSampler, PairSets, centre_crop, load_pairs, smallest_side
from models.recipes import Recipe, find_recipe
from models.restorer import Restorer, choose_device
from models.spec import ModelSpec
from models.zoo import MODELS
from synth import atomic

VALIDATION_CROP_PX = 256
DEFAULT_OUT = Path(__file__).resolve().parents[1] / "out" / "checkpoints"


class TrainingFailed(RuntimeError):
    """Training had to stop; the last checkpoint is good."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What the user chooses. recipe "" is the network's own; steps None is the profile's number."""

    model: str
    recipe: str = ""
    pairs: tuple[Path, ...]
    profile: str = "quick"
    steps: int | None = None
    out: Path = DEFAULT_OUT
    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked training: everything that its result depends on."""

    config: TrainConfig
    spec: ModelSpec
    recipe: Recipe
    sets: PairSets
    crop_px: int
    steps: int
    device: torch.device
    folder: Path
    configuration: dict[str, Any]


def plan(config: TrainConfig) -> Plan:
    """Check a configuration and resolve it, without training. Errors: ValueError, FileNotFoundError: one sentence."""
    if config.model not in MODELS:
        raise ValueError(f"no network is called {config.model!r}; there are {', '.join(MODELS)}")
    spec = MODELS[config.model]
    recipe = find_recipe(config.recipe or spec.recipe, config.profile)
    if config.steps is not None and config.steps < 1:
        raise ValueError(f"the number of steps is at least 1, got {config.steps}")
    device = choose_device(config.device)
    sets = load_pairs(config.pairs)
    crop_px = _crop(recipe, spec, smallest_side(sets.train))
    steps = config.steps or recipe.steps or recipe.epochs * math.ceil(len(sets.train) / recipe.batch)
    configuration = {
        "model": config.model,
        "recipe": _facts(recipe),
        "steps": steps,
        "crop_px": crop_px,
        "seed": config.seed,
        "pairs": len(sets.train),
        "pairs_digest": sets.digest,
        "held_out": sets.held_out,
        "device": device.type,
    }
    name = f"{recipe.name}-{recipe.profile}-{checkpoint.digest_of(configuration)}"
    return Plan(
        config=config,
        spec=spec,
        recipe=recipe,
        sets=sets,
        crop_px=crop_px,
        steps=steps,
        device=device,
        folder=config.out / config.model / name,
        configuration=configuration,
    )


def find(config: TrainConfig) -> CheckpointInfo | None:
    """The finished checkpoint of exactly this configuration, verified; None where there is none."""
    info = checkpoint.read(plan(config).folder)
    if info is None or not info.finished:
        return None
    checkpoint.verify(info)
    return info


def train(config: TrainConfig, resume: bool) -> CheckpointInfo:
    """Train, or go on, or return what is finished already.

    Errors: ValueError, FileNotFoundError (bad configuration; unfinished training without `resume`); TrainingFailed (the
    loss is not finite); OSError (disk full). What was written before stays valid.
    """
    chosen = plan(config)
    done = checkpoint.read(chosen.folder)
    if done is not None and done.finished:
        checkpoint.verify(done)
        return done
    if (chosen.folder / checkpoint.STATE).is_file() and not resume:
        raise ValueError(f"{chosen.folder} holds an unfinished training; add --resume to go on with it, or remove it")
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
        for name in self.recipe.zero_last:
            layer = self.module.get_submodule(name)
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)
        self.module.to(chosen.device).train()
        self.average = {key: value.detach().clone() for key, value in self.module.state_dict().items()}
        self.optimiser = torch.optim.Adam(
            self.module.parameters(), lr=self.recipe.learning_rate, betas=self.recipe.betas, foreach=False
        )
        self.sampler = PairSampler(
            chosen.sets.train,
            seed=chosen.config.seed,
            crop_px=chosen.crop_px,
            clip_frames=self.recipe.clip_frames,
            flips=self.recipe.flips,
            reversal=self.recipe.reversal,
        )

    def run(self) -> CheckpointInfo:
        from torch.utils.tensorboard import SummaryWriter

        first = self.load()
        log = SummaryWriter(str(self.plan.folder / "tensorboard"), purge_step=first)
        try:
            with _progress(f"training {self.plan.config.model}", self.plan.steps, first) as advance:
                for step in range(first, self.plan.steps):
                    loss = self.step(step)
                    log.add_scalar("loss", loss, step)
                    log.add_scalar("learning_rate", self.optimiser.param_groups[0]["lr"], step)
                    advance(f"loss {loss:.4f}")
                    if (step + 1) % self.recipe.checkpoint_every == 0 and step + 1 < self.plan.steps:
                        self.save(step + 1, None)
            return self.save(self.plan.steps, self.validate(log))
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
        loss = self.recipe.loss(self.recipe.targets(self.module, blur, sharp))
        value = float(loss.detach())
        if not math.isfinite(value):
            raise TrainingFailed(
                f"the loss of {self.plan.config.model} became {value} at step {step}; the last checkpoint in "
                f"{self.plan.folder} is good; try another seed or fewer steps"
            )
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

    def validate(self, log: Any) -> dict[str, float | None]:
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
            for output, source, target in zip(restorer.restore(iter(blur)), blur, sharp, strict=True):
                restored.append(METRICS["psnr"].fn((output * 255).round() / 255, target))
                blurred.append(METRICS["psnr"].fn(source, target))
        result = {"psnr": sum(restored) / len(restored), "psnr_blur": sum(blurred) / len(blurred)}
        log.add_scalar("validation/psnr", result["psnr"], self.plan.steps)
        return {key: value if math.isfinite(value) else None for key, value in result.items()}

    def load(self) -> int:
        """Take up the last saved state; returns the number of steps done."""
        path = self.plan.folder / checkpoint.STATE
        if not path.is_file():
            return 0
        from safetensors.torch import load

        state = load(path.read_bytes())
        self.module.load_state_dict(_section(state, "weights."))
        self.average = {key: value.to(self.plan.device) for key, value in _section(state, "average.").items()}
        moments = self.optimiser.state_dict()
        moments["state"] = {
            int(index): {name: state[f"adam.{index}.{name}"] for name in ("step", "exp_avg", "exp_avg_sq")}
            for index in sorted({key.split(".")[1] for key in state if key.startswith("adam.")}, key=int)
        }
        self.optimiser.load_state_dict(moments)
        return int(state["steps_done"])

    def save(self, steps_done: int, validation: dict[str, float | None] | None) -> CheckpointInfo:
        """Write state, weights and description, in this order; each in one step. `validation` is given at the end."""
        state: dict[str, Tensor] = {"steps_done": torch.tensor(steps_done)}
        state |= {f"weights.{key}": value for key, value in self.module.state_dict().items()}
        state |= {f"average.{key}": value for key, value in self.average.items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
        folder = self.plan.folder
        atomic.write_bytes(folder / checkpoint.STATE, checkpoint.pack(state))
        digest = atomic.write_bytes(folder / checkpoint.WEIGHTS, checkpoint.pack(self.average))
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
            "threads": torch.get_num_threads(),
            "pairs": len(self.plan.sets.train),
            "pairs_digest": self.plan.sets.digest,
            "held_out": self.plan.sets.held_out,
            "loss": " + ".join(f"{weight:g} {name}" for name, weight in recipe.losses),
            "feature_net": "",
            "switches": switches(recipe),
            "validation": validation,
            "weights_sha256": digest,
            "configuration": self.plan.configuration,
        }
        atomic.write_json(folder / checkpoint.META, meta)
        written = checkpoint.read(folder)
        assert written is not None
        return written


def switches(recipe: Recipe) -> list[str]:
    """What a reader of the table must know about how a network was trained."""
    found = [f"recipe {recipe.name}"]
    if recipe.zero_last:
        found.append("last layer starts at zero")
    return found


def _crop(recipe: Recipe, spec: ModelSpec, side_px: int) -> int:
    """The recipe's crop, or the largest that fits the images and the network."""
    largest = side_px // spec.multiple_of * spec.multiple_of
    if largest < max(spec.multiple_of, 16):
        raise ValueError(
            f"the smallest image is {side_px} px on a side, but {spec.name} trains on crops of at least "
            f"{max(spec.multiple_of, 16)} px; use larger images"
        )
    return min(recipe.crop_px, largest)


def _facts(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values, for the digest."""
    facts = {key: value for key, value in asdict(recipe).items() if key not in ("targets", "source")}
    return facts | {"targets": recipe.targets.__name__}


def _by_sequence(pairs: tuple[Pair, ...]) -> list[list[Pair]]:
    names = list(dict.fromkeys(pair.sequence for pair in pairs))
    return [sorted((pair for pair in pairs if pair.sequence == name), key=lambda pair: pair.order) for name in names]


def _section(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


@contextmanager
def _reproducible(chosen: Plan) -> Iterator[None]:
    """Deterministic kernels and a fixed number of threads; a resumed run takes the number it began with."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    begun = checkpoint.read(chosen.folder)
    try:
        torch.set_num_threads(int(begun.meta["threads"]) if begun else threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.manual_seed(chosen.config.seed)
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)


@contextmanager
def _progress(title: str, total: int, done: int) -> Iterator[Any]:
    quiet = not sys.stderr.isatty()
    if quiet:
        print(f"{title}: {total - done} steps", file=sys.stderr, flush=True)
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"))
    bar = Progress(
        *columns,
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet,
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=total, completed=done, note="")
        yield lambda note: bar.update(task, advance=1, note=note)
