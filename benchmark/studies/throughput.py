"""Training steps a second, ours against a straightforward loop: `benchmark/studies/throughput.py --models NAME,...`.

Both loops train the same network on the same crops with the same loss, batch, number of threads and kind of optimiser,
in turn, so that their ratio is steadier than the times. Ours: models/training/loop.py as it trains. The straightforward
one, the loop that one would write first: every image decoded when it is drawn, torch's default memory layout, losses
written as in the papers.

Without --pairs, made-up images of 1280x720. Exit codes: 0, 2 bad arguments.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    from core.interrupts import catch

    catch()
    from core.command_line import loading

    loading()

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from core import files
from core.command_line import Parser, listed, run, unknown
from core.image_files import read_image, write_image
from core.random_streams import stream
from models.nets.adapters import outputs_of
from models.recipes import Recipe, find_recipe
from models.training.loop import TrainConfig, by_hand
from models.training.plan import Plan
from models.training.state import update_average
from models.zoo import MODELS

DEFAULT_MODELS = ("mimo-unet", "nafnet-32")


def plain_loss(recipe: Recipe, restored: list[Tensor], sharp: list[Tensor]) -> Tensor:
    """The recipe's losses on images, written out. Shape: images of every scale [B, 3, h, w] -> scalar.

    Errors: ValueError for a loss that is not written out here.
    """
    total = torch.zeros((), device=restored[0].device)
    for output, target in zip(restored, sharp, strict=True):
        for name, weight in recipe.losses:
            if name == "l1":
                term = torch.nn.functional.l1_loss(output, target)
            elif name == "mimo-frequency":
                one, other = torch.fft.fft2(output), torch.fft.fft2(target)
                parts = [torch.stack([spectrum.real, spectrum.imag], dim=-1) for spectrum in (one, other)]
                term = torch.nn.functional.l1_loss(parts[0], parts[1])
            elif name == "psnr":
                error = ((output - target) ** 2).mean(dim=(1, 2, 3))
                term = 10 * torch.log10(error + 1e-8).mean()
            elif name == "mse":
                term = torch.nn.functional.mse_loss(output, target)
            elif name == "charbonnier":
                term = torch.sqrt((output - target) ** 2 + 1e-6).mean()
            else:
                raise ValueError(f"the straightforward loop has no loss {name!r}; measure another network")
            total = total + weight * term
    return total


def require_plain(recipe: Recipe) -> None:
    """Errors: ValueError for a recipe that the straightforward loop cannot follow."""
    if recipe.stages or recipe.adversary or recipe.features or recipe.contrast or recipe.optimiser == "sgd":
        raise ValueError(f"the straightforward loop knows losses on images and Adam alone, not recipe {recipe.name}")
    image = torch.zeros(1, 3, 8, 8)
    plain_loss(recipe, [image], [image])


class PlainLoop:
    """The loop that one would write first: decode, crop, flip, forward, loss, backward, optimiser."""

    def __init__(self, chosen: Plan) -> None:
        self.plan, self.stage = chosen, chosen.stages[0]
        recipe = self.stage.recipe
        self.module = chosen.spec.build().to(chosen.device).train()
        self.outputs = outputs_of(chosen.spec)
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimiser]
        settings = {"lr": recipe.learning_rate, "betas": recipe.betas, "weight_decay": recipe.weight_decay}
        self.optimiser = kind(self.module.parameters(), **settings)  # type: ignore[arg-type]

    def decode(self, step: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The images of a step, each [H, W, 3] uint8."""
        rng = np.random.default_rng(step)
        drawn = rng.integers(len(self.plan.sets.train), size=self.stage.batch)
        pairs = [self.plan.sets.train[int(place)] for place in drawn]
        return [(read_image(pair.blur), read_image(pair.sharp)) for pair in pairs]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Decode, crop and flip. Shape: two float32 [B, 1, 3, crop, crop]. Range: [0, 1]."""
        rng = np.random.default_rng(step)
        samples: tuple[list[Tensor], list[Tensor]] = ([], [])
        for images in self.decode(step):
            side = self.stage.crop_px
            top, left = (int(rng.integers(extent - side + 1)) for extent in images[0].shape[:2])
            mirrored = rng.random() < 0.5
            for image, kept in zip(images, samples, strict=True):
                crop = image[top : top + side, left : left + side]
                crop = crop[:, ::-1] if mirrored else crop
                kept.append(torch.from_numpy(crop.copy()).float().permute(2, 0, 1) / 255)
        blur, sharp = (torch.stack(kept)[:, None].to(self.plan.device) for kept in samples)
        return blur, sharp

    def loss(self, blur: Tensor, sharp: Tensor) -> Tensor:
        """Forward and loss. Shape: as `batch` -> scalar."""
        pairs = self.outputs(self.module, blur, sharp)
        return plain_loss(self.stage.recipe, [pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def step(self, step: int) -> float:
        loss = self.loss(*self.batch(step))
        self.optimiser.zero_grad()
        loss.backward()
        if self.stage.recipe.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.stage.recipe.gradient_clip)
        self.optimiser.step()
        return float(loss.detach())


RECIPE_OF = {"mimo-unet": "mimo-unet", "nafnet-32": "nafnet"}  # else the network's own
MADE_UP_PAIRS, MADE_UP_SIZE = 6, (720, 1280)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One network. Units: seconds; every list has a number per repeat. cpu_s: of all threads together.

    decode_s: a batch's PNG pairs; draw_s: a batch out of memory, cropped and flipped; optimiser_s, average_s: of our
    step (CPU time).
    """

    model: str
    recipe: str
    crop_px: int
    batch: int
    threads: int
    device: str
    ours_wall_s: list[float]
    ours_cpu_s: list[float]
    plain_wall_s: list[float]
    plain_cpu_s: list[float]
    decode_s: list[float]
    draw_s: list[float]
    optimiser_s: list[float]
    average_s: list[float]


def compare(
    model: str, *, pairs: Path, crop_px: int, batch: int, threads: int, device: str, repeats: int
) -> Comparison:
    """Run both loops in turn under the paper's recipe, after one step of each that does not count.

    Errors: ValueError for a network or a recipe that does not suit, or fewer than one repeat.
    """
    if model not in MODELS:
        raise ValueError(unknown("no network is called", model, MODELS))
    if repeats < 1:
        raise ValueError(f"--repeats is at least 1, got {repeats}")
    published = find_recipe(RECIPE_OF.get(model, MODELS[model].recipe_for("quick")), "paper")
    require_plain(published)
    recipe = replace(published, batch=batch, crop_px=crop_px, validate_every=0)
    config = TrainConfig(
        model=model, pairs=(pairs,), steps=repeats + 1, threads=threads, device=device, folder=pairs / "never-written"
    )
    with by_hand(config, recipe) as ours:
        plain = PlainLoop(ours.plan)
        plain.module.load_state_dict(ours.module.state_dict())
        synchronise = torch.cuda.synchronize if ours.plan.device.type == "cuda" else _nothing
        timings = {"ours": _Times(synchronise), "plain": _Times(synchronise)}
        parts = {name: _Times(synchronise) for name in ("decode", "draw", "optimiser", "average")}
        for step in range(repeats + 1):
            timings["ours"].add(lambda step=step: ours.step(step))  # type: ignore[misc]
            timings["plain"].add(lambda step=step: plain.step(step))  # type: ignore[misc]
            parts["decode"].add(lambda step=step: plain.decode(step))  # type: ignore[misc]
            # Once more: the images are in memory now, as they are from the second epoch on.
            parts["draw"].add(lambda step=step: ours.ahead.get(step))  # type: ignore[misc]
            parts["optimiser"].add(ours.optimiser.step)
            parts["average"].add(lambda: update_average(ours.average, ours.module, recipe.ema_decay))
        return Comparison(
            model=model,
            recipe=recipe.name,
            crop_px=ours.stage.crop_px,
            batch=ours.stage.batch,
            threads=threads,
            device=ours.plan.device.type,
            ours_wall_s=timings["ours"].wall_s,
            ours_cpu_s=timings["ours"].cpu_s,
            plain_wall_s=timings["plain"].wall_s,
            plain_cpu_s=timings["plain"].cpu_s,
            decode_s=parts["decode"].cpu_s,
            draw_s=parts["draw"].cpu_s,
            optimiser_s=parts["optimiser"].cpu_s,
            average_s=parts["average"].cpu_s,
        )


class _Times:
    """Wall and CPU seconds of every call but the first, which warms up."""

    def __init__(self, synchronise: Callable[[], None]) -> None:
        self.synchronise = synchronise
        self.wall_s: list[float] = []
        self.cpu_s: list[float] = []
        self._warm = False

    def add(self, work: Callable[[], object]) -> None:
        self.synchronise()
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.synchronise()
        if self._warm:
            self.wall_s.append(time.perf_counter() - wall)
            self.cpu_s.append(time.process_time() - cpu)
        self._warm = True


def _nothing() -> None:
    return None


def made_up_pairs(folder: Path) -> Path:
    """Pairs of coarse noise of MADE_UP_SIZE on disk, as synth/make_pairs.py lays them out: for times, not for eyes."""
    lines = []
    for number in range(MADE_UP_PAIRS):
        rng = stream(0, "throughput", number)
        coarse = rng.integers(0, 256, size=(MADE_UP_SIZE[0] // 8, MADE_UP_SIZE[1] // 8, 3))
        sharp = np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1) + rng.integers(-4, 5, size=(*MADE_UP_SIZE, 3))
        blur = sum(np.roll(sharp, shift, axis=1) for shift in range(5)) / 5
        for side, image in (("blur", blur), ("sharp", sharp)):
            write_image(folder / side / f"{number}.png", np.clip(np.round(image), 0, 255).astype(np.uint8))
        facts = {"key": str(number), "split": "train", "sequence": str(number), "centre_s": 0.0, "response": "srgb"}
        lines.append(json.dumps({**facts, "blur": f"blur/{number}.png", "sharp": f"sharp/{number}.png"}) + "\n")
    files.write_text(folder / "pairs.jsonl", "".join(lines))
    return folder


def text_of(found: Comparison) -> str:
    """Lines for people: medians, with the middle half in brackets."""
    facts = f"{found.model}, recipe {found.recipe}, batch {found.batch}, crops of {found.crop_px} px"
    lines = [f"{facts}, {found.threads} threads, {found.device}, {len(found.ours_wall_s)} steps of either loop in turn"]
    for name, wall, cpu in (
        ("ours", found.ours_wall_s, found.ours_cpu_s),
        ("straightforward", found.plain_wall_s, found.plain_cpu_s),
    ):
        lines.append(
            f"  {name}: {1 / statistics.median(wall):.3f} steps/s; {spread(wall)} s a step, {spread(cpu)} s of CPU"
        )
    lines.append(
        f"  ours takes {ratio(found.ours_wall_s, found.plain_wall_s):.2f} of the time and "
        f"{ratio(found.ours_cpu_s, found.plain_cpu_s):.2f} of the CPU time (medians of the ratios of neighbours)"
    )
    parts = {
        "decoding a batch": found.decode_s,
        "drawing it out of memory": found.draw_s,
        "the optimiser": found.optimiser_s,
        "the average of the weights": found.average_s,
    }
    return "\n".join([*lines, *(f"  {name}: {spread(values)} s of CPU" for name, values in parts.items())])


def spread(values: list[float]) -> str:
    """Median and quartiles."""
    low, middle, high = (float(np.quantile(values, share)) for share in (0.25, 0.5, 0.75))
    return f"{middle:.4g} ({low:.4g} to {high:.4g})"


def ratio(ours: list[float], plain: list[float]) -> float:
    """Median over the repeats of what both loops took one after the other."""
    return statistics.median(one / other for one, other in zip(ours, plain, strict=True))


@contextmanager
def _pairs(given: Path | None) -> Iterator[Path]:
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory() as folder:
        yield made_up_pairs(Path(folder))


def main(argv: list[str] | None = None) -> int:
    return run(_parser(), _measure, argv, refusals=(FileNotFoundError,))


def _parser() -> Parser:
    parser = Parser(prog="benchmark/studies/throughput.py", description="Training steps a second.")
    add = parser.add_argument
    add("--models", action="append", metavar="NAME,...", help=f"default: {', '.join(DEFAULT_MODELS)}")
    parser.shared("--crop", default=256)
    parser.shared("--batch", default=4)
    parser.shared("--threads", default=1)
    parser.shared("--device", default="cpu")
    add("--repeats", type=int, default=5, help="timed steps of either loop")
    add("--pairs", type=Path, metavar="DIR", help="training pairs (default: made-up ones of 1280x720)")
    add("--out", type=Path, metavar="FILE", help="also write every time there, as JSON")
    return parser


def _measure(given: argparse.Namespace) -> int:
    found = []
    with _pairs(given.pairs) as pairs:
        for model in listed(given.models) or DEFAULT_MODELS:
            found.append(
                compare(
                    model,
                    pairs=pairs,
                    crop_px=given.crop,
                    batch=given.batch,
                    threads=given.threads,
                    device=given.device,
                    repeats=given.repeats,
                )
            )
            print(text_of(found[-1]), flush=True)
    if given.out:
        files.write_json(given.out, [asdict(one) for one in found])
    return 0


if __name__ == "__main__":
    sys.exit(main())
