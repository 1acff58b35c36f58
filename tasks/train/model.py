"""The model from its settings, and the folder that `transformers` loads."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract.errors import DataError, RecipeError
from tasks.contract.tokens import Index
from tasks.train.settings import ModelSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

UNFIT = (TypeError, ValueError, AttributeError, KeyError, RuntimeError, ZeroDivisionError)
"""What the classes of an architecture stumble over when the numbers of a recipe do not fit together."""


def build_model(settings: ModelSettings, index: Index, context: int, attention: str, where: str) -> "PreTrainedModel":
    """A model with fresh weights for a vocabulary; `where` is the recipe, for messages.

    Raises RecipeError where the architecture refuses its configuration or is too short for the context.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM

    eos = index.eos_token_id
    try:
        config = AutoConfig.for_model(
            settings.architecture,
            vocab_size=index.vocab_size,
            bos_token_id=eos,
            eos_token_id=eos,
            pad_token_id=None,
            **settings.config,
        )
        config.use_cache = False
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    except (*UNFIT, StrictDataclassError) as error:
        sentence = " ".join(str(error).split())
        raise RecipeError(f"{where}: model.config: {settings.architecture} cannot be built: {sentence}") from error
    longest = getattr(config, "max_position_embeddings", None)
    if isinstance(longest, int) and longest < context:
        raise RecipeError(
            f"{where}: train.context_length: {context} is more than the {longest} positions of the model "
            f"(model.config.{config.attribute_map.get('max_position_embeddings', 'max_position_embeddings')})"
        )
    try:
        causal = _is_causal(model.float())
    except UNFIT as error:
        sentence = " ".join(str(error).split())
        raise RecipeError(f"{where}: model.config: {settings.architecture} cannot be run: {sentence}") from error
    if not causal:
        raise RecipeError(
            f"{where}: model.config: {settings.architecture} sees later tokens as it is configured; "
            "give it is_decoder: true if it takes that, or choose another architecture"
        )
    return model


def _is_causal(model: "PreTrainedModel") -> bool:
    """A model that sees later tokens would learn to copy them: some, like bert, are causal only if told so."""
    import torch

    ids = torch.arange(8)[None] % model.config.vocab_size
    other = ids.clone()
    other[0, -1] = 0 if ids[0, -1] else 1
    model.eval()
    with torch.no_grad():
        one, two = (model(input_ids=given).logits[0, :-1] for given in (ids, other))
    model.train()
    return torch.allclose(one, two, rtol=1e-3, atol=1e-4)


def check_tokenizer(folder: Path, splits: dict[Path, Index]) -> None:
    """Raises DataError where the tokenizer and the tokens of a split do not belong together."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a tokenizer: {' '.join(str(error).split())}") from error
    for path, index in splits.items():
        if len(tokenizer) != index.vocab_size:
            raise DataError(
                f"{path}/index.json: vocab_size: {index.vocab_size}, but the tokenizer in {folder} has {len(tokenizer)}"
            )
        if tokenizer.eos_token_id != index.eos_token_id:
            raise DataError(
                f"{path}/index.json: eos_token_id: {index.eos_token_id}, "
                f"but the tokenizer in {folder} ends a text with {tokenizer.eos_token_id}"
            )


def save_model(model: "PreTrainedModel", tokenizer: Path, folder: Path) -> None:
    """Weights, configuration, generation settings and the tokenizer's files, byte for byte the same for the same."""
    from transformers import GenerationConfig

    eos = model.config.eos_token_id
    model.config.use_cache = True
    model.generation_config = GenerationConfig(bos_token_id=eos, eos_token_id=eos, pad_token_id=eos)
    model.save_pretrained(folder)
    for file in sorted(tokenizer.iterdir()):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
