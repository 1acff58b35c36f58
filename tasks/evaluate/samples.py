"""Continue a prompt or fill its [MASK], reproducibly."""

from typing import Any

from tasks.evaluate.batches import one_thread
from tasks.evaluate.loading import Loaded
from tasks.formats.sampling import GenerationSettings
from tasks.formats.text_ids import encode_masked

FILLS = 5
"""Number of most likely tokens shown per [MASK]."""


def prompt_ids(loaded: Loaded, prompt: str) -> list[int]:
    """The prompt like the start of a document: after the token that begins a text, or the end-of-text token."""
    return [*loaded.opening, *loaded.tokenizer.encode(prompt, add_special_tokens=False)]


def sample(loaded: Loaded, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
    """{prompt, text, new_tokens, settings}: `text` continues the prompt up to an end-of-text token or the limit.

    Seeds torch's global generator with `settings.seed` and restores it afterwards.
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
    # Decode everything, then remove the prompt: some tokenizers drop a leading space when decoding.
    whole = loaded.tokenizer.decode(written, skip_special_tokens=True)
    head = loaded.tokenizer.decode(ids[0].tolist(), skip_special_tokens=True)
    return {
        "prompt": prompt,
        "text": whole.removeprefix(head),
        "new_tokens": len(written) - ids.shape[1],
        "settings": settings.model_dump(),
    }


def masked_prompt_ids(loaded: Loaded, prompt: str) -> list[int]:
    """The prompt's ids with special tokens, [MASK] replaced by the tokenizer's mask token."""
    return encode_masked(loaded.tokenizer, prompt)


def fill(loaded: Loaded, prompt: str) -> dict[str, Any]:
    """{prompt, text, fills}: the most likely tokens for each [MASK] independently, and the text with the best ones;
    never special tokens, as in the served model."""
    import torch

    ids = masked_prompt_ids(loaded, prompt)
    with one_thread(), torch.inference_mode():
        logits = loaded.model(input_ids=torch.tensor([ids], device=loaded.model.device)).logits[0].float()
        chances = logits.softmax(-1)
        chances[:, loaded.tokenizer.all_special_ids] = 0
        best = chances.topk(FILLS)
    fills = []
    for place in [at for at, token in enumerate(ids) if token == loaded.tokenizer.mask_token_id]:
        tokens, values = best.indices[place].tolist(), best.values[place].tolist()
        shown = zip([loaded.tokenizer.decode([token]) for token in tokens], values, strict=True)
        fills.append([{"token": token, "probability": round(chance, 6)} for token, chance in shown])
        ids[place] = tokens[0]
    return {"prompt": prompt, "text": loaded.tokenizer.decode(ids, skip_special_tokens=True), "fills": fills}
