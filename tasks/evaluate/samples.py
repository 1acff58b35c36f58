"""What the model writes after a prompt, the same each time."""

from typing import Any

from tasks.evaluate.loading import Loaded, one_thread
from tasks.evaluate.settings import GenerationSettings


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
