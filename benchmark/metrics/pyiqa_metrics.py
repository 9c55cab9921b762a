"""Any metric of the package pyiqa by name, `pyiqa:NAME`. The package is optional and for non-commercial use only.

Only facts are kept here (which names there are, whether they need a sharp image, which way is better), so that a table
can be printed where pyiqa is not installed. Nothing is downloaded: a metric whose weights pyiqa has not stored is
missing, and the sentence names the file.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from benchmark.metrics.images import checked_pair, checked_single
from benchmark.protocols import Metric
from core.torchvision_shim import ensure_torchvision

if TYPE_CHECKING:
    from torch import Tensor, nn

PREFIX = "pyiqa:"
LICENCE = "PolyForm-Noncommercial-1.0.0"
NOTICE = f"pyiqa is licensed for non-commercial use only ({LICENCE}); so are figures made with it"

# The metrics of pyiqa 0.1.16: with or without a sharp image, higher or lower better.
_WITH_REFERENCE_HIGHER = """
    ahiq ckdn cw_ssim dmm fgresq_pair fsim ms_ssim psnr psnry ssim ssimc topiq_fr topiq_fr-pipal vif vsi wadiqam_fr
"""
_WITH_REFERENCE_LOWER = """
    afine_all afine_all_scale afine_fr deepdc dists gmsd lpips lpips+ lpips-vgg lpips-vgg+ mad msswd nlpd pieapp stlpips
    stlpips-vgg
"""
_ALONE_HIGHER = """
    arniqa arniqa-clive arniqa-csiq arniqa-flive arniqa-kadid arniqa-live arniqa-spaq arniqa-tid clipiqa clipiqa+
    clipiqa+_rn50_512 clipiqa+_vitL14_512 clipscore cnniqa compare2score dbcnn entropy fgresq hyperiqa laion_aes liqe
    liqe_mix maclip maniqa maniqa-kadid maniqa-pipal metaiqa musiq musiq-ava musiq-paq2piq musiq-spaq nima nima-koniq
    nima-spaq nima-vgg16-ava nrqm paq2piq qalign qalign_4bit qalign_8bit qrealign qrealign-lite qrealign-mini
    qrealign-pro qualiclip qualiclip+ qualiclip+-clive qualiclip+-flive qualiclip+-spaq topiq_iaa topiq_iaa_res50
    topiq_nr topiq_nr-face topiq_nr-face-v1 topiq_nr-flive topiq_nr-spaq topiq_nr_swin-face tres tres-flive unique
    uranker wadiqam_nr
"""
_ALONE_LOWER = "afine_nr brisque brisque_matlab ilniqe niqe niqe_matlab pi piqe"
_OF_WHOLE_SETS = "fid fid_dinov2 inception_score sfid"
WITH_REFERENCE_HIGHER, WITH_REFERENCE_LOWER, ALONE_HIGHER, ALONE_LOWER, OF_WHOLE_SETS = (
    frozenset(names.split())
    for names in (_WITH_REFERENCE_HIGHER, _WITH_REFERENCE_LOWER, _ALONE_HIGHER, _ALONE_LOWER, _OF_WHOLE_SETS)
)

_building = threading.Lock()


def is_pyiqa(name: object) -> bool:
    """Whether a metric's id is `pyiqa:` with a name that pyiqa has for single images."""
    return isinstance(name, str) and name.startswith(PREFIX) and name.removeprefix(PREFIX) in _names()


@functools.cache
def pyiqa_metric(name: str) -> Metric:
    """The Metric of an id such as `pyiqa:musiq`. Errors: KeyError, in a sentence, for a name that is not known."""
    own = name.removeprefix(PREFIX)
    if own in OF_WHOLE_SETS:
        raise KeyError(f"{name} compares whole sets of images; it has no value for one")
    if not is_pyiqa(name):
        raise KeyError(f"{name}: pyiqa 0.1.16 has no metric {own!r}; it has {', '.join(sorted(_names()))}")
    with_reference = own in WITH_REFERENCE_HIGHER or own in WITH_REFERENCE_LOWER
    measure = functools.partial(_measure, own)
    return Metric(
        name=name,
        title=f"{own} (pyiqa)",
        unit="dB" if own in ("psnr", "psnry") else "",
        higher_is_better=own in WITH_REFERENCE_HIGHER or own in ALONE_HIGHER,
        needs_reference=with_reference,
        source=f"package pyiqa, metric {own} with its defaults; {NOTICE}",
        fn=checked_pair(measure) if with_reference else checked_single(measure),
        unchecked=measure,
        missing=functools.partial(missing, own),
    )


@functools.cache
def missing(own: str) -> str | None:
    """What a metric of pyiqa lacks here (the package, or weights that pyiqa has not stored), or None. Builds it."""
    if importlib.util.find_spec("pyiqa") is None:
        return f"{PREFIX}{own} needs the package pyiqa: pip install 'deblur-bench[iqa]' ({NOTICE})"
    try:
        _network(own, "cpu")
    except ValueError as error:
        return str(error)
    return None


def _measure(own: str, restored: Tensor, sharp: Tensor | None) -> float:
    """One thread, so that the value depends on no setting. After a gain values may pass 1: pyiqa refuses these."""
    import torch

    if (sentence := missing(own)) is not None:
        raise ValueError(sentence)
    network = _network(own, str(restored.device))
    pair = [
        image.detach().float().clamp(0, 1).expand(3, -1, -1)[None] for image in (restored, sharp) if image is not None
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return float(network(*pair))
    finally:
        torch.set_num_threads(threads)


def _network(own: str, device: str) -> nn.Module:
    with _building:
        return _built(own, device)


@functools.cache
def _built(own: str, device: str) -> nn.Module:
    import torch

    ensure_torchvision()
    _say_licence()
    with torch.random.fork_rng(devices=[]), _no_downloads():
        import pyiqa

        try:
            return pyiqa.create_metric(own, device=torch.device(device)).eval()
        except NotStored as error:
            raise ValueError(
                f"{PREFIX}{own} needs the file {error}, which pyiqa has not stored here; let pyiqa fetch it once"
            ) from None
        except Exception as error:  # whatever stands in the way is the reason in the table's cell
            text = (str(error).strip().splitlines() or [""])[0]
            raise ValueError(f"{PREFIX}{own} cannot be built here ({type(error).__name__}: {text})") from None


@functools.cache
def _say_licence() -> None:
    print(f"note: {NOTICE}", file=sys.stderr)


class NotStored(Exception):
    """pyiqa wants to download a file."""


@contextmanager
def _no_downloads() -> Iterator[None]:
    """PyTorch's downloads, pyiqa's and the Hugging Face hub's refuse inside."""
    import huggingface_hub.constants
    import pyiqa.utils.download_util
    import torch.hub

    def refuse(url: str, *_: object, **__: object) -> None:
        raise NotStored(PurePosixPath(urlparse(url).path).name)

    places: list[tuple[Any, str, object]] = [
        (torch.hub, "download_url_to_file", refuse),
        (pyiqa.utils.download_util, "download_url_to_file", refuse),
        (huggingface_hub.constants, "HF_HUB_OFFLINE", True),
    ]
    before = [getattr(module, name) for module, name, _ in places]
    for module, name, value in places:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(places, before, strict=True):
            setattr(module, name, value)


def _names() -> frozenset[str]:
    return WITH_REFERENCE_HIGHER | WITH_REFERENCE_LOWER | ALONE_HIGHER | ALONE_LOWER
