"""What a model writes after a prompt, or puts in the place of its [MASK]; the same each time."""

from typing import Any

from tasks.evaluate.batches import one_thread
from tasks.evaluate.loading import Loaded
from tasks.evaluate.settings import MASK, GenerationSettings

FILLS = 5
"""Likeliest tokens that are shown for each [MASK] of a prompt."""


def prompt_ids(loaded: Loaded, prompt: str) -> list[int]:
    """The end-of-text token and the prompt behind it: a document that begins so."""
    return [loaded.eos_token_id, *loaded.tokenizer.encode(prompt, add_special_tokens=False)]


def sample(loaded: Loaded, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
    """{prompt, text, new_tokens, settings}: `text` follows the prompt, up to an end-of-text token or the limit.

    torch's global generator is seeded with `settings.seed` for this call and then put back.
    """
    import torch
    from transformers import GenerationConfig

    device = loaded.model.device
    ids = torch.tensor([prompt_ids(loaded, prompt)], device=device)
    drawn: dict[str, Any] = {"do_sample": False}
    if settings.temperature > 0:
        drawn = {
            "do_sample": True,
            "temperature": settings.temperature,
            "top_k": settings.top_k or loaded.model.config.get_text_config().vocab_size,
            "top_p": settings.top_p,
        }
    config = GenerationConfig(
        max_new_tokens=settings.max_new_tokens,
        eos_token_id=loaded.eos_token_id,
        pad_token_id=loaded.eos_token_id,
        **drawn,
    )
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with one_thread(), forked, torch.inference_mode():
        torch.manual_seed(settings.seed)
        written = loaded.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)[0].tolist()
    # Decoded as a whole and then cut: some tokenizers drop a leading space of what they decode.
    whole = loaded.tokenizer.decode(written, skip_special_tokens=True)
    head = loaded.tokenizer.decode(ids[0].tolist(), skip_special_tokens=True)
    return {
        "prompt": prompt,
        "text": whole.removeprefix(head),
        "new_tokens": len(written) - ids.shape[1],
        "settings": settings.model_dump(),
    }


def masked_prompt_ids(loaded: Loaded, prompt: str) -> list[int]:
    """A prompt between the tokenizer's special tokens, [MASK] as the tokenizer has it."""
    ids: list[int] = loaded.tokenizer(prompt.replace(MASK, loaded.tokenizer.mask_token))["input_ids"]
    return ids


def fill(loaded: Loaded, prompt: str) -> dict[str, Any]:
    """{prompt, text, fills}: the likeliest tokens for each [MASK], by itself, and the text with the first of each."""
    import torch

    ids = masked_prompt_ids(loaded, prompt)
    with one_thread(), torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([ids], device=loaded.model.device)).logits[0].float()
        best = logits.softmax(-1).topk(FILLS)
    fills = []
    for place in [at for at, token in enumerate(ids) if token == loaded.tokenizer.mask_token_id]:
        tokens, chances = best.indices[place].tolist(), best.values[place].tolist()
        shown = zip([loaded.tokenizer.decode([token]) for token in tokens], chances, strict=True)
        fills.append([{"token": token, "probability": round(chance, 6)} for token, chance in shown])
        ids[place] = tokens[0]
    return {"prompt": prompt, "text": loaded.tokenizer.decode(ids, skip_special_tokens=True), "fills": fills}
