"""Transformers' architectures for each task and their config keys, parsed from its source.

Importing transformers takes seconds; parsing a few of its files takes 0.1 s, so `gristmill check` stays fast. Tests
compare the result with the library itself.
"""

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tasks.stage.problems import nearest

CAUSAL = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
ENCODER_DECODERS = "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"
MODELS = {
    "causal-lm": (CAUSAL,),
    "translation": (ENCODER_DECODERS, CAUSAL),
    "summarization": (ENCODER_DECODERS, CAUSAL),
    **dict.fromkeys(("chat", "preference"), (CAUSAL,)),
    "masked-lm": ("MODEL_FOR_MASKED_LM_MAPPING_NAMES",),
    "classification": ("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",),
}
FROM_DATA = {
    "vocab_size", "decoder_vocab_size", "bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id",
    "mask_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "num_labels", "id2label",
    "label2id", "problem_type",
}  # fmt: skip
OURS = {
    "model_type", "architectures", "transformers_version", "dtype", "torch_dtype", "is_encoder_decoder", "use_cache",
}  # fmt: skip
"""Config keys derived from other keys of the recipe."""
LEGACY = {"rope_theta", "rope_scaling", "partial_rotary_factor"}
"""Keyword arguments that configs with `rope_parameters` also accept (modeling_rope_utils.py)."""


def architectures(task: str) -> list[str]:
    """The `model_type`s that have a config and a model for a task, sorted."""
    fitting = {name for names in MODELS[task] for name in _mapping("models/auto/modeling_auto.py", names)}
    return sorted(name for name in fitting if name in _mapping("models/auto/auto_mappings.py", "CONFIG_MAPPING_NAMES"))


def is_encoder_decoder(architecture: str) -> bool:
    """Whether an architecture is an encoder-decoder."""
    return architecture in _mapping("models/auto/modeling_auto.py", ENCODER_DECODERS)


def sentence_architectures() -> list[str]:
    """The architectures with a next-sentence prediction head, sorted."""
    return sorted(_mapping("models/auto/modeling_auto.py", "MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING_NAMES"))


def config_keys(architecture: str) -> set[str]:
    """All arguments of an architecture's config, aliases included. Raises KeyError."""
    name = _mapping("models/auto/auto_mappings.py", "CONFIG_MAPPING_NAMES")[architecture]
    special = _mapping("models/auto/auto_mappings.py", "SPECIAL_MODEL_TYPE_TO_MODULE_NAME")
    folder = _root() / "models" / special.get(architecture, architecture.replace("-", "_"))
    files = sorted(folder.glob("configuration_*.py"))
    path = next((file for file in files if f"\nclass {name}(" in file.read_text(encoding="utf-8")), None)
    if path is None:
        raise KeyError(f"{folder}: no class {name}")
    keys = _class_keys(path, name)
    return keys | LEGACY if "rope_parameters" in keys else keys


def architecture_problem(architecture: str, task: str) -> str | None:
    """The error in `model.architecture` for a task, or None."""
    known = architectures(task)
    if architecture not in known:
        return f"{architecture!r} is not a transformers architecture for {task}{nearest(architecture, known)}"
    if "vocab_size" not in config_keys(architecture):
        return f"{architecture!r} is not a text-only model{nearest(f'{architecture}_text', known)}"
    return None


def config_problems(architecture: str, config: Mapping[str, Any]) -> Iterator[str]:
    """Errors in `model.config` of a known architecture, one per key."""
    keys = config_keys(architecture)
    for key in config:
        if key in FROM_DATA:
            yield f"{key}: set from the tokenizer and the data; remove it"
        elif key in OURS:
            yield f"{key}: set automatically; remove it"
        elif key not in keys:
            yield f"{key}: unknown key for {architecture}{nearest(key, keys - OURS - FROM_DATA)}"


def _root() -> Path:
    spec = importlib.util.find_spec("transformers")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("transformers is not installed")
    return Path(spec.origin).parent


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def _mapping(file: str, name: str) -> dict[str, Any]:
    """The items of an assignment `name = OrderedDict([(key, value), …])`."""
    path = _root() / file
    text = path.read_text(encoding="utf-8")
    start = text.index(f"\n{name} = OrderedDict(") + 1
    call = ast.parse(text[start : text.index("\n)\n", start) + 2]).body[0]
    assert isinstance(call, ast.Assign) and isinstance(call.value, ast.Call)
    pairs = call.value.args[0]
    assert isinstance(pairs, ast.List)
    return dict(ast.literal_eval(pair) for pair in pairs.elts if isinstance(pair, ast.Tuple))


@cache
def _class_keys(path: Path, name: str) -> set[str]:
    """Fields, aliases and keyword arguments of a config class and its bases."""
    node = next((n for n in _tree(path).body if isinstance(n, ast.ClassDef) and n.name == name), None)
    if node is None:
        raise KeyError(f"{path}: no class {name}")
    keys: set[str] = set()
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if "ClassVar" not in ast.unparse(statement.annotation):
                keys.add(statement.target.id)
        elif isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "attribute_map":
            keys.update(ast.literal_eval(statement.value))
        elif isinstance(statement, ast.FunctionDef) and statement.name in ("__init__", "__post_init__"):
            keys.update(_arguments(statement))
    for base in node.bases:
        if isinstance(base, ast.Name) and (place := _place(path, base.id)) is not None:
            keys |= _class_keys(place, base.id)
    return keys - {"self", "kwargs"}


def _arguments(function: ast.FunctionDef) -> Iterator[str]:
    """Named arguments, and keys read from `kwargs` with get, pop or setdefault."""
    yield from (argument.arg for argument in (*function.args.args, *function.args.kwonlyargs))
    for call in ast.walk(function):
        if (
            isinstance(call, ast.Call)
            and ast.unparse(call.func) in ("kwargs.get", "kwargs.pop", "kwargs.setdefault")
            and isinstance(call.args[0], ast.Constant)
        ):
            yield str(call.args[0].value)


def _place(path: Path, name: str) -> Path | None:
    """The file that defines base class `name` of `path`, if it is a config file."""
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return path
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            file = path.parents[node.level - 1].joinpath(*(node.module or "").split(".")).with_suffix(".py")
            return file if file.name.startswith("configuration_") and file.is_file() else None
    return None
