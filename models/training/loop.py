"""The training loop: one plain loop for every recipe, resumable to the last bit on the CPU."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from core import files
from core.locks import only_one
from core.memory import free_bytes, keep_freed_memory
from core.weights_files import weights_folder
from models.nets.adapters import outputs_of
from models.network_weights import load_into
from models.recipes import Recipe
from models.restorer import KEPT_SHARE
from models.training import checkpoint
from models.training.checkpoint import CheckpointInfo
from models.training.discriminators import Opponents
from models.training.extension import take_up
from models.training.live_samples import LiveSampler
from models.training.objective import Objective, full_size
from models.training.plan import DEFAULT_OUT, Plan, TrainConfig, description, find, plan
from models.training.processes import (
    average,
    average_buffers,
    average_gradients,
    count,
    is_writer,
    rank,
    together,
    wait,
)
from models.training.progress import Rounds, open_log, progress
from models.training.running import Running, require_opponents_to_run
from models.training.samples import Ahead, FaceSampler, PairSampler
from models.training.stages import PlannedStage
from models.training.start import initialise, load_backbone, load_part, renew, start_at_the_blurred_image
from models.training.state import bypass, channels_last, freeze, optimiser_of, pack, set_rate, unpack, update_average
from models.training.validation import validate


@contextmanager
def reproducible(seed: int, threads: int) -> Iterator[None]:
    """Deterministic kernels, a fixed number of threads, and the same starting weights for the same seed."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.manual_seed(seed)
        yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(deterministic)


def seed_step(seed: int, rank: int, step: int) -> None:
    """Dropout and noise inside of networks depend on the seed, the process and the step alone."""
    torch.manual_seed((seed << 32) + (rank << 26) + step)


def sampler_of(chosen: Plan, stage: PlannedStage) -> PairSampler | LiveSampler:
    """What a stage is trained on."""
    config, recipe = chosen.config, stage.recipe
    if chosen.live:
        usual = 1 if chosen.device.type == "cpu" else os.cpu_count() or 1
        return LiveSampler(
            chosen.live,
            recipe.live,
            seed=config.seed,
            crop_px=stage.crop_px,
            workers=config.workers or usual,
            augmentation=recipe.augmentation,
            with_motion=bool(recipe.motion),
            device="cpu" if chosen.device.type == "cpu" else str(chosen.device),
        )
    if recipe.faces and chosen.boxes:
        return FaceSampler(
            chosen.sets.train,
            chosen.boxes,
            seed=config.seed,
            side_px=stage.crop_px,
            flips=recipe.flips,
            augmentation=recipe.augmentation,
            shares=chosen.sets.shares,
            cache=config.cache,
        )
    return PairSampler(
        chosen.sets.train,
        seed=config.seed,
        crop_px=stage.crop_px,
        clip_frames=stage.clip_frames,
        flips=recipe.flips,
        reversal=recipe.reversal,
        response_share=recipe.response_share,
        augmentation=recipe.augmentation,
        shares=chosen.sets.shares,
        cache=config.cache,
        scale=chosen.spec.scale,
        plain=sees_plain(recipe),
    )


def sees_plain(recipe: Recipe) -> bool:
    """Does the discriminator see the target before it was sharpened?"""
    return recipe.adversary is not None and recipe.adversary.sees_plain and recipe.augmentation.sharpen


__all__ = [
    "DEFAULT_OUT",
    "Plan",
    "TrainConfig",
    "TrainingFailed",
    "find",
    "plan",
    "train",
]


class TrainingFailed(RuntimeError):
    """Training had to stop; the last checkpoint is good."""


def train(config: TrainConfig, resume: bool, recipe: Recipe | None = None) -> CheckpointInfo:
    """Train, or go on, or return what is finished already. recipe: as `plan` takes it.

    Errors: ValueError, FileNotFoundError (bad configuration; unfinished training without `resume`); TrainingFailed (the
    loss is not finite); OSError (disk full). What was written before stays valid.
    """
    chosen = plan(config, recipe)
    with only_one(chosen.folder) if is_writer() else nullcontext():
        return _train(chosen, resume)


def _train(chosen: Plan, resume: bool) -> CheckpointInfo:
    config = chosen.config
    done = checkpoint.read(chosen.folder)
    if done is None and chosen.base is None and (chosen.folder / checkpoint.STATE).is_file():
        raise ValueError(f"{chosen.folder} holds a training without its {checkpoint.META}; remove it")
    if done is not None and not (chosen.base is not None and chosen.base.folder == chosen.folder):
        if differences := checkpoint.differences(done, chosen.configuration):
            longer = done.finished and all(text.startswith("steps is") for text in differences)
            way = "add --extend to go on from it, " if longer and done.meta["steps"] < chosen.steps else ""
            raise ValueError(
                f"{chosen.folder} holds a training of another configuration ({'; '.join(differences)}); {way}choose "
                "another --out, or remove it"
            )
        if done.finished:
            checkpoint.verify(done)
            checkpoint.require_state(done)
            return done
        if not resume:
            raise ValueError(
                f"{chosen.folder} holds an unfinished training; add --resume to go on with it, or remove it"
            )
    require_opponents_to_run(chosen.stages, config.accumulate * count())
    with reproducible(config.seed, config.threads), together(chosen.device):
        return _Training(chosen).run()


@contextmanager
def by_hand(config: TrainConfig, recipe: Recipe | None = None) -> Iterator[_Training]:
    """A training whose steps the caller takes, and which writes nothing: for measurements. Errors: as `plan`."""
    chosen = plan(config, recipe)
    with reproducible(config.seed, config.threads):
        yield _Training(chosen)


NEGATIVES = "negatives."  # how the names of the network that makes the negatives begin in the saved state


class _Training:
    """The state of a run: weights, moments, moving average, the discriminator of the stage."""

    def __init__(self, chosen: Plan) -> None:
        self.plan, self.recipe = chosen, chosen.recipe
        self.module = chosen.spec.build()
        parts = self.recipe.stages or (self.recipe,)
        self.named = tuple(dict.fromkeys(beginning for part in parts for beginning in part.frozen))
        if any(part.only for part in parts):
            self.named = ("",)
        initialise(self.module, parts[0].initialisation)
        loaded: tuple[str, ...] = ()
        if chosen.config.backbone:
            loaded = (load_backbone(self.module, chosen.spec, chosen.config.backbone),)
        for part, path in chosen.config.parts:
            loaded += (load_part(self.module, chosen.spec, part, path),)
        if chosen.config.start:
            load_into(self.module, chosen.config.start, chosen.spec)
        if parts[0].starts_at_blur:
            start_at_the_blurred_image(self.module, chosen.spec, loaded)
        if chosen.device.type == "cpu":
            # A step's buffers are mapped once, not anew in every layer: a quarter of its time (docs/log, 13).
            keep_freed_memory(largest_block=free_bytes(chosen.device), kept=int(KEPT_SHARE * free_bytes(chosen.device)))
        self.module = channels_last(self.module.to(chosen.device)).train()
        self.running = Running(
            self.module,
            outputs_of(chosen.spec),
            name=chosen.spec.name,
            compiled=chosen.config.compile,
            precision=chosen.config.precision,
            device=chosen.device,
            listen_to=chosen.spec.training.motion,
            frame_step=chosen.spec.training.step,
        )
        self.average = {key: value.detach().clone() for key, value in self.module.state_dict().items()}
        self.best = -math.inf
        self.terms: dict[str, float] = {}
        self.negatives: nn.Module | None = None  # the network as its average was one interval ago
        self.number = -1
        self._enter(0)

    def _enter(self, number: int, *, resumed: bool = False) -> None:
        """Begin a stage: an optimiser, a sampler and a discriminator of its own. resumed: its weights come from a file.

        A piece of a stage goes on with what the piece before had, on crops and batches of its own.
        """
        before = self.plan.stages[self.number].part if self.number >= 0 else None
        self.number, self.stage = number, self.plan.stages[number]
        recipe, config = self.stage.recipe, self.plan.config
        self.sampler = sampler_of(self.plan, self.stage)
        self.ahead = Ahead(self._batches, self.plan.device, self.stage.last)
        if before == self.stage.part and not resumed:
            return
        bypass(self.module, recipe.bypassed)
        if recipe.renewed and not resumed:
            self._renew(recipe.renewed)
        self.optimiser = optimiser_of(self.module, recipe)
        self.opponents = Opponents(self.stage, config.seed + number, self.plan.device)
        self.objective = Objective(
            recipe,
            feature_net_name=config.feature_net,
            weights_dir=config.weights_dir or weights_folder(),
            discriminator=self.opponents.whole,
            device=self.plan.device,
            components=self.opponents.components,
        )

    def _renew(self, beginnings: tuple[str, ...]) -> None:
        """Parts that were passed over before start from new numbers, in the average, too."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.plan.config.seed + self.number)
            renew(self.module, beginnings)
        for key, value in self.module.state_dict().items():
            if key.startswith(beginnings):
                self.average[key].copy_(value)

    def _batches(self, step: int) -> list[tuple[Tensor, ...]]:
        """This process's samples of a step, in as many parts as they go through the network."""
        processes, own_rank = count(), rank()
        parts = self.plan.config.accumulate
        drawn = self.stage.drawn_at(step)
        return self.sampler.parts(drawn, self.stage.batch, processes=processes, rank=own_rank, parts=parts)

    def run(self) -> CheckpointInfo:
        if self.plan.base is not None and is_writer():
            take_up(self.plan.base, self.plan.folder)
        wait()
        first = self.load()
        if first == 0 or self.plan.base is not None:
            self.describe(first, None)  # from here on the folder belongs to this configuration
        wait()
        log, rounds = open_log(self.plan.folder, first), Rounds()
        try:
            with progress(f"training {self.plan.config.model}", self.plan.steps, first) as advance:
                for step in range(first, self.plan.steps):
                    loss = self.step(step)
                    for name, value in self.terms.items():
                        log.add_scalar(name, value, step)
                    advance(f"loss {loss:.4f}")
                    rounds.add(self.stage, step, self.terms, log)
                    recipe = self.stage.recipe
                    last = step + 1 == self.plan.steps
                    if recipe.validate_every and (step + 1) % recipe.validate_every == 0 and not last:
                        self.validate(log, step + 1)
                    if not last and ((step + 1) % recipe.checkpoint_every == 0 or step + 1 == self.stage.last):
                        self.save(step + 1, None)
            return self.save(self.plan.steps, self.validate(log, self.plan.steps))
        finally:
            log.close()

    def step(self, step: int) -> float:
        """One optimiser step; returns the loss. Chance depends on the seed and the step number alone."""
        if self.plan.stage_of(step) != self.number:
            self._enter(self.plan.stage_of(step))
        recipe = self.stage.recipe
        seed_step(self.plan.config.seed, rank(), step)
        first, last = self.stage.schedule
        place, steps = step - first, last - first
        rate = recipe.learning_rate_at(place, steps)
        set_rate(self.optimiser, rate)
        frozen = recipe.frozen if place < recipe.frozen_until * steps else ()
        freeze(self.module, self.named, frozen, recipe.only if place < recipe.only_until * steps else ())
        self._look_back(place, steps)
        self.terms = {"loss": 0.0}
        if recipe.step_per_frame:
            self._frame_steps(step, place, steps)
        else:
            told = self._whole_step(step, place, steps, rate)
            self.terms |= told
        self.terms["learning_rate"] = rate
        return self.terms["loss"]

    def _whole_step(self, step: int, place: int, steps: int, rate: float) -> dict[str, float]:
        """One step of the network on all that a step draws; gives the discriminators' losses."""
        leads = self.stage.recipe.adversary is not None and self.stage.recipe.adversary.leads
        told: dict[str, float] = {}
        parts = self.ahead.get(step)
        seen: list[tuple[Tensor, ...]] = []
        plain = sees_plain(self.stage.recipe)
        if leads and len(parts) > 1:  # the discriminator's step needs all that the network gives first
            with torch.no_grad():
                seen = [self._seen(self.running(blur, sharp), rest, plain) for blur, sharp, *rest in parts]
            told = self._opponents_step(step, seen, rate, place)
        self.optimiser.zero_grad(set_to_none=True)
        for blur, sharp, *rest in parts:
            pairs = self.running(blur, sharp)
            if self.opponents.named and not (leads and len(parts) > 1):
                seen.append(self._seen(pairs, rest, plain))
            if leads and len(parts) == 1:
                told = self._opponents_step(step, seen, rate, place)
            boxes = () if plain else rest
            negative = self._negative(blur, sharp)
            loss, terms = self.objective.loss(
                pairs,
                blur,
                *boxes,
                motion=self.running.motion,
                step=place,
                steps=steps,
                negative=negative,
                plain=rest[0][:, rest[0].shape[1] // 2] if plain else None,
            )
            self._note("loss", loss, len(parts))
            for name, value in terms.items() if len(terms) > 1 else ():
                self._note(f"loss/{name}", value, len(parts))
            if not math.isfinite(self.terms["loss"]):
                raise self.not_finite(step, blur, sharp)
            (loss / len(parts) if len(parts) > 1 else loss).backward()
        self._network_step(place)
        return told if leads else self._opponents_step(step, seen, rate, place)

    def _seen(self, pairs: list[tuple[Tensor, Tensor]], rest: list[Tensor], plain: bool) -> tuple[Tensor, ...]:
        """What the discriminators see of a part of the batch: restored, sharp, and the boxes of components."""
        restored, sharp = (side.detach() for side in full_size(self.objective.compared(pairs)))
        return (restored, rest[0][:, rest[0].shape[1] // 2]) if plain else (restored, sharp, *rest)

    def _frame_steps(self, step: int, place: int, steps: int) -> None:
        """An optimiser step for every frame of a clip; the loss that is told is their mean."""
        (batch,) = self.ahead.get(step)
        blur, sharp = batch[:2]
        for number, pair in enumerate(self.running.frames(blur, sharp)):
            self.optimiser.zero_grad(set_to_none=True)
            loss, terms = self.objective.loss([pair], blur[:, number : number + 1], step=place, steps=steps)
            self._note("loss", loss, blur.shape[1])
            for name, value in terms.items() if len(terms) > 1 else ():
                self._note(f"loss/{name}", value, blur.shape[1])
            if not math.isfinite(self.terms["loss"]):
                raise self.not_finite(step, blur, sharp)
            loss.backward()
            self._network_step(place)

    def _network_step(self, place: int) -> None:
        """The optimiser's step on the gradients at hand, and that of the average."""
        recipe = self.stage.recipe
        average_gradients(self.module.parameters())
        if recipe.gradient_clip:
            nn.utils.clip_grad_norm_(self.module.parameters(), recipe.gradient_clip)
        self.optimiser.step()
        average_buffers(self.module)
        # A short memory at first, so that the untrained start is soon forgotten.
        update_average(self.average, self.module, min(recipe.ema_decay, (1 + place) / (10 + place)))

    def _opponents_step(self, step: int, seen: list[tuple[Tensor, ...]], rate: float, place: int) -> dict[str, float]:
        told = self.opponents.update(seen, rate, place)
        if not all(math.isfinite(value) for value in told.values()):
            raise self.not_finite(step, seen[-1][0], seen[-1][1], name="discriminator's loss")
        return told

    def _look_back(self, place: int, steps: int) -> None:
        """Where an interval of negatives begins, keep the network as its average is now: they are what it restores."""
        contrast = self.stage.recipe.contrast
        if contrast is None or contrast.reading != "average":
            return
        interval = contrast.interval_at(place, steps)
        if interval and interval != contrast.interval_at(place - 1, steps):
            self.negatives = self._kept_network(self.average)

    def _kept_network(self, weights: dict[str, Tensor]) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            module = self.plan.spec.build()
        module.load_state_dict(weights)
        return module.to(self.plan.device).eval().requires_grad_(False)

    def _negative(self, blur: Tensor, sharp: Tensor) -> Tensor | None:
        """What the network of one interval ago restores; None while there is none."""
        if self.negatives is None:
            return None
        with torch.no_grad():
            outputs = outputs_of(self.plan.spec)(self.negatives, blur, sharp)
            return full_size(outputs)[0].clamp(0, 1)

    def _note(self, name: str, value: Tensor, parts: int) -> None:
        mean = float(average(value.detach()))
        self.terms[name] = self.terms.get(name, 0.0) + mean / parts

    def validate(self, log: Any, steps_done: int) -> dict[str, float | None]:
        """PSNR of the averaged network and of its input on the held-out pairs; keeps the best weights so far."""
        if not is_writer():
            return {"psnr": None, "psnr_blur": None}
        try:
            result = validate(self.plan, self.average, log, steps_done)
        except FloatingPointError as error:
            raise self.failure(f"{error} after {steps_done} steps") from None
        if self.recipe.validate_every and result["psnr"] is not None and result["psnr"] > self.best:
            self.best = result["psnr"]
            files.write_bytes(self.plan.folder / checkpoint.BEST, checkpoint.pack(self.average))
        return result

    def load(self) -> int:
        """Take up the last saved state; returns the number of steps done."""
        path = self.plan.folder / checkpoint.STATE
        if not path.is_file():
            return 0
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            state = load(path.read_bytes())
            steps_done = int(state["steps_done"])
            if not 0 <= steps_done <= self.plan.steps:
                raise ValueError
            self._enter(self.plan.stage_of(max(0, steps_done - 1)), resumed=True)
            if any(key.startswith(NEGATIVES) for key in state):
                kept = {key.removeprefix(NEGATIVES): value for key, value in state.items() if key.startswith(NEGATIVES)}
                self.negatives = self._kept_network(kept)
            unpack(state, self.module, self.average, self.optimiser, self.opponents.named)
        except (SafetensorError, KeyError, RuntimeError, ValueError, TypeError):
            raise ValueError(
                f"{path} is damaged or of another training; remove {path.parent} and train again"
            ) from None
        if done := checkpoint.read(self.plan.folder):
            checkpoint.require_state(done, steps_ahead=steps_done - done.meta["steps_done"])
        self.best = float(state.get("best_psnr", torch.tensor(-math.inf)))
        return steps_done

    def save(self, steps_done: int, validation: dict[str, float | None] | None) -> CheckpointInfo:
        """Write state, weights and description, in this order; each in one step. `validation` is given at the end.

        Errors: TrainingFailed if a weight is not finite; nothing is written then.
        """
        if not all(bool(value.isfinite().all()) for value in self.module.state_dict().values()):
            raise self.failure(f"a weight became NaN or infinite before step {steps_done}")
        state = pack(self.module, self.average, self.optimiser, self.opponents.named)
        state["steps_done"] = torch.tensor(steps_done)
        if self.negatives is not None:
            state |= {f"{NEGATIVES}{key}": value for key, value in self.negatives.state_dict().items()}
        if math.isfinite(self.best):
            state["best_psnr"] = torch.tensor(self.best, dtype=torch.float64)
        folder, digest, state_digest = self.plan.folder, "", ""
        if is_writer():
            if steps_done == self.stage.schedule[1] and steps_done < self.plan.steps:
                files.write_bytes(folder / f"stage-{self.stage.part + 1}.safetensors", checkpoint.pack(self.average))
            state_digest = files.write_bytes(folder / checkpoint.STATE, checkpoint.pack(state))
            digest = files.write_bytes(folder / checkpoint.WEIGHTS, checkpoint.pack(self.average))
        return self.describe(steps_done, validation, weights_sha256=digest, state_sha256=state_digest)

    def not_finite(self, step: int, blur: Tensor, sharp: Tensor, name: str = "loss") -> TrainingFailed:
        """Keep the batch that it happened with."""
        path = self.plan.folder / checkpoint.FAILED_BATCH
        if is_writer():
            content = {"blur": blur, "sharp": sharp, "step": torch.tensor(step)}
            files.write_bytes(path, checkpoint.pack(content))
        value = next((value for value in self.terms.values() if not math.isfinite(value)), self.terms["loss"])
        return self.failure(f"the {name} became {value} at step {step} (its batch is in {path.name})")

    def failure(self, what: str) -> TrainingFailed:
        return TrainingFailed(
            f"{self.plan.config.model}: {what}; the last checkpoint in {self.plan.folder} is good; try another seed"
        )

    def describe(
        self,
        steps_done: int,
        validation: dict[str, float | None] | None,
        *,
        weights_sha256: str = "",
        state_sha256: str = "",
    ) -> CheckpointInfo:
        """Write checkpoint.json. The digests are "" where this training has written no such file yet."""
        if is_writer():
            residual = bool(self.plan.spec.training.residual)
            meta = description(
                self.plan,
                steps_done,
                validation,
                weights_sha256=weights_sha256,
                state_sha256=state_sha256,
                residual=residual,
            )
            files.write_json(self.plan.folder / checkpoint.META, meta)
        wait()
        written = checkpoint.read(self.plan.folder)
        assert written is not None
        return written
