"""`run.py --check`: everything that can be wrong before a long run, one line a check.

Data sets (complete, sizes, what the pixels say, leaks), weights, metrics against values stored here, disk and memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from benchmark import data_checks
from benchmark.data_checks import Finding, fail, ok, warn
from benchmark.methods import NetworkMethod, every_network, networks
from benchmark.metrics import METRICS, brisque, niqe, perceptual
from benchmark.plan import RunConfig, not_found, with_weights
from benchmark.protocols import PROTOCOLS
from benchmark.testsets import TESTSETS
from core.files import sha256_of
from core.image_files import image_size
from core.weights_files import find_file
from models.network_weights import load_into, published_identities

TOLERANCE = 1e-6  # of the stored values
LOOSE = {"niqe": 1e-3, "brisque": 1e-3, "lpips-squeeze": 1e-4}  # a choice from a grid; a network in single precision
# Metrics of `reference_pair` as this project computed them when it was released (each is checked against another
# program in the tests), and for metrics with a model file the sha256 of the file that the value belongs to.
STORED: dict[str, tuple[float, str]] = {
    "psnr": (23.83166153767542, ""),
    "ssim-gauss-valid": (0.5860319946035103, ""),
    "ssim-skimage-gauss": (0.5860319946035099, ""),
    "ssim-skimage-uniform7": (0.6212357447880298, ""),
    "ssim-matlab-3d": (0.7867220242196927, ""),
    "ssim-luma": (0.6470683563981914, ""),
    "ssim-wang-downsampled": (0.5860319946035103, ""),
    "ssim-cw": (0.9850717429488918, ""),
    "ms-ssim": (0.9202396888817543, ""),
    "lpips-alex": (0.3438403010368347, "9f97fd313f4da83dbe6bbfbe6effca1241de9edfcd7c53386261ed9697286dd9"),
    "lpips-vgg": (0.3928125500679016, "cabd922aeb0dd6d56f2bed33221aee74b7f1e760ddd105c0e0891606cbab6d0d"),
    "lpips-squeeze": (0.2819856107234955, "efe394a85f4736af12447a82f3a9c121431b32fae9b9abb582c2da28bb72733c"),
    "niqe": (11.10583357963475, "2a7c182a68c9e7f1b2e2e5ec723279d6f65d912b6fcaf37eb2bf03d7367c4296"),
    "brisque": (50.99130053133749, "19526fb799c4c7992ccc109fcfecddb25976ba024b194cd3ee275d27e8909c8d"),
}
DISK_BYTES_PER_PIXEL = 2.0  # of a PNG of a photograph, rounded up
MEMORY_FAIL_GB, MEMORY_WARN_GB = 1.0, 4.0


def report(findings: Iterable[Finding]) -> int:
    """Print the findings as they come and what they add up to; returns the exit code, 1 if a check failed."""
    counts = {"ok": 0, "warn": 0, "fail": 0}
    for finding in findings:
        counts[finding.level] += 1
        print(finding.line(), flush=True)
    print(f"check: {counts['ok']} ok, {counts['warn']} with a remark, {counts['fail']} failed")
    return 1 if counts["fail"] else 0


def examine(config: RunConfig, real: dict[str, Path]) -> Iterator[Finding]:
    """All findings about a run, test sets first. real: the test sets found under --data-root."""
    for name in config.testsets:
        if name in real:
            yield from data_checks.examine_set(name, real[name])
        elif sentence := not_found(config, name, real):
            yield fail(f"{name}: complete", sentence)
        else:
            yield ok(f"{name}: complete", "not under --data-root; a mini set is rendered in its place (simulated)")
    yield from data_checks.leaks(config.pairs, list(real.items()))
    yield from weights(config)
    yield from metrics()
    yield disk(config, real)
    yield memory()


def weights(config: RunConfig) -> Iterator[Finding]:
    """Whether the weights files at hand belong to their networks: of the methods, or of all."""

    asked: Iterable[NetworkMethod] = networks(config.methods)
    if not config.methods:
        asked = (with_weights(network, config, must_fit=False) for network in every_network())
    for network in asked:
        name, spec = network.name, network.spec
        if network.problem:
            yield fail(f"{name}: weights", network.problem)
            continue
        if network.weights is None or network.weights.path is None:
            if config.methods:
                trains = spec.recipe_for(config.profile)
                text = "it is trained first" if trains else "and it cannot be trained here; give --weights"
                yield (ok if trains else fail)(f"{name}: weights", f"no weights file, {text}")
            continue
        path, digest = network.weights.path, network.weights.sha256
        try:
            published = published_identities(spec, path)
            load_into(spec.build(), path, spec)
        except (ValueError, OSError) as error:
            yield fail(f"{name}: weights", str(error))
            continue
        if published and digest not in published:
            yield fail(f"{name}: weights", f"{path} fits, but its sha256 {digest[:16]}... is not the published one")
        else:
            yield ok(f"{name}: weights", f"{path.name} fits, sha256 {digest[:16]}...")


def reference_pair() -> tuple[np.ndarray, np.ndarray]:
    """A drawn picture and a blurred, noisier version of it, in whole numbers. Shape: [3, 192, 256] uint8, the same
    bytes on every machine."""
    y, x = np.mgrid[0:192, 0:256].astype(np.int64)
    planes = [((x * (7 + 2 * c)) ^ (y * (5 + c))) % 256 * (((x // 24 + y // 24 + c) % 3) + 1) // 3 for c in range(3)]
    state, noise = 12345, np.empty(3 * 192 * 256, dtype=np.int64)
    for index in range(noise.size):  # a linear congruential generator: no library's random numbers
        state = (1103515245 * state + 12345) % 2**31
        noise[index] = state >> 24
    sharp = np.stack(planes) // 2 + (noise.reshape(3, 192, 256) // 4) + 32
    total = sum(np.roll(sharp, shift, axis=2) for shift in range(-3, 4))
    blurred = np.asarray(total) // 7
    return blurred.astype(np.uint8), sharp.astype(np.uint8)


def metrics() -> Iterator[Finding]:
    """Every metric on `reference_pair` against the stored value, and the sentence of those that lack something."""
    import torch

    restored, sharp = (torch.from_numpy(image).float() / 255 for image in reference_pair())
    exact: list[str] = []
    for name, metric in METRICS.items():
        if (sentence := metric.missing()) is not None:
            yield warn(f"metric {name}", sentence)
            continue
        try:
            value = metric.fn(restored, sharp if metric.needs_reference else None)
        except (ValueError, RuntimeError, ImportError, OSError) as error:
            yield fail(f"metric {name}", str(error))
            continue
        stored = STORED.get(name)
        if stored is None or (stored[1] and stored[1] != _model_digest(name)):
            yield ok(f"metric {name}", f"{value:.6f}; no value is stored for its model file, so nothing was compared")
        elif abs(value - stored[0]) <= LOOSE.get(name, TOLERANCE) * max(1.0, abs(stored[0])):
            exact.append(name)
        else:
            yield fail(f"metric {name}", f"{value!r} here, {stored[0]!r} is stored; figures cannot be compared")
    if exact:
        yield ok("metrics", f"the stored values come out again: {', '.join(exact)}")


def _model_digest(name: str) -> str:
    """The sha256 of the model file that a metric uses here, "" for one without."""

    networks = {f"lpips-{net}": names for net, names in perceptual.FILES.items()}
    files = {"brisque": brisque.FILES, **networks}.get(name)
    path = niqe.model_file() if name == "niqe" else find_file(*files) if files else None
    return sha256_of(path) if path is not None else ""


def disk(config: RunConfig, real: dict[str, Path]) -> Finding:
    """Free space at --out against what the restored images of the real test sets need."""

    place = config.out.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    methods = max(1, len(config.methods))  # images of a folder: are copied
    pixels = 0
    for name, folder in real.items():
        for protocol in TESTSETS[name].protocols[:1]:
            try:
                clips = TESTSETS[name].open(folder, PROTOCOLS[protocol], False).clips()
                height, width = image_size(clips[0].samples[0].blur)
            except (FileNotFoundError, ValueError, OSError):
                continue
            pixels += height * width * sum(len(clip.samples) for clip in clips)
    needed = methods * pixels * DISK_BYTES_PER_PIXEL / 1e9 + 0.5
    words = f"{free:.1f} GB free at {place}, about {needed:.1f} GB needed for {methods} methods"
    return ok("disk", words) if free > 1.2 * needed else fail("disk", words)


def memory() -> Finding:
    """Memory that is available now."""
    import psutil

    free = psutil.virtual_memory().available / 1e9
    words = f"{free:.1f} GB available"
    if free < MEMORY_FAIL_GB:
        return fail("memory", f"{words}, {MEMORY_FAIL_GB:.0f} GB are needed at least")
    return ok("memory", words) if free > MEMORY_WARN_GB else warn("memory", f"{words}; large networks need more")
