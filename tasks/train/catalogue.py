"""Which architectures transformers knows for a task and what each can be told, read from its source.

Importing transformers takes seconds, and `gristmill check` has one and a half; reading the syntax of a few of its
files takes a tenth of one. Tests hold what is read here against the library itself.
"""

import ast
import difflib
import importlib.util
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

CAUSAL = "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES"
ENCODER_DECODERS = "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES"
MODELS = {
    "causal-lm": (CAUSAL,),
    "translation": (ENCODER_DECODERS, CAUSAL),
    "summarization": (ENCODER_DECODERS, CAUSAL),
    "masked-lm": ("MODEL_FOR_MASKED_LM_MAPPING_NAMES",),
    "classification": ("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",),
}
FROM_DATA = {
    "vocab_size", "decoder_vocab_size", "bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id",
    "mask_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "num_labels", "id2label",
    "label2id", "problem_type",
}  # fmt: skip
OURS = {
    "model_type",
    "architectures",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "is_encoder_decoder",
    "use_cache",
}
"""Keys of a configuration that a recipe does not set: they follow from its other keys."""
LEGACY = {"rope_theta", "rope_scaling", "partial_rotary_factor"}
"""Keys that the base class takes from keyword arguments (modeling_rope_utils.py) where there are `rope_parameters`."""


def architectures(task: str) -> list[str]:
    """The `model_type`s of all models for a task that have a configuration, sorted."""
    fitting = {name for names in MODELS[task] for name in _mapping("models/auto/modeling_auto.py", names)}
    return sorted(name for name in fitting if name in _mapping("models/auto/auto_mappings.py", "CONFIG_MAPPING_NAMES"))


def is_encoder_decoder(architecture: str) -> bool:
    """Whether an architecture takes in a text and writes another one, and not a single row."""
    return architecture in _mapping("models/auto/modeling_auto.py", ENCODER_DECODERS)


def sentence_architectures() -> list[str]:
    """The architectures with a head that tells whether two segments follow one another, sorted."""
    return sorted(_mapping("models/auto/modeling_auto.py", "MODEL_FOR_NEXT_SENTENCE_PREDICTION_MAPPING_NAMES"))


def config_keys(architecture: str) -> set[str]:
    """Every argument that the configuration of an architecture takes, aliases included. Raises KeyError."""
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
    """What is wrong with `model.architecture` for a task, if anything is."""
    known = architectures(task)
    if architecture not in known:
        return f"{architecture!r} is no architecture of transformers for {task}{_like(architecture, known)}"
    if "vocab_size" not in config_keys(architecture):
        return f"{architecture!r} is more than a language model{_like(f'{architecture}_text', known)}"
    return None


def config_problems(architecture: str, config: Mapping[str, Any]) -> list[str]:
    """What is wrong with `model.config` of a known architecture, a sentence for each key; empty where nothing is."""
    keys = config_keys(architecture)
    problems = []
    for key in config:
        if key in FROM_DATA:
            problems.append(f"{key}: comes from the tokenizer and the data; leave it out")
        elif key in OURS:
            problems.append(f"{key}: not for a recipe to set; leave it out")
        elif key not in keys:
            problems.append(f"{key}: unknown to {architecture}{_like(key, sorted(keys - OURS - FROM_DATA))}")
    return problems


def _like(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(close)}?)" if close else ""


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
    """The pairs of an assignment `name = OrderedDict([(key, value), …])`."""
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
    """Fields, aliases and named keyword arguments of a configuration class and of its bases."""
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
    """Arguments by name, and those taken out of `kwargs` with get, pop or setdefault."""
    yield from (argument.arg for argument in (*function.args.args, *function.args.kwonlyargs))
    for call in ast.walk(function):
        if (
            isinstance(call, ast.Call)
            and ast.unparse(call.func) in ("kwargs.get", "kwargs.pop", "kwargs.setdefault")
            and isinstance(call.args[0], ast.Constant)
        ):
            yield str(call.args[0].value)


def _place(path: Path, name: str) -> Path | None:
    """The file in which a base class that `path` names is defined, where it is a configuration."""
    for node in _tree(path).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return path
        if isinstance(node, ast.ImportFrom) and any(alias.name == name for alias in node.names):
            folder = path.parent
            for _ in range(node.level - 1):
                folder = folder.parent
            file = folder.joinpath(*(node.module or "").split(".")).with_suffix(".py")
            return file if file.name.startswith("configuration_") and file.is_file() else None
    return None
