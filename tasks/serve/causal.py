"""A registered causal language model: prompts in, the prompts with their continuations out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mlflow.models import set_model

from tasks.formats.text_ids import opening
from tasks.serve.shared import Served


class CausalModel(Served):
    """Continues each prompt; the same prompt, parameters and seed give the same text on one machine."""

    auto = "AutoModelForCausalLM"
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "max_new_tokens": (1, math.inf),
        "temperature": (0, math.inf),
        "top_k": (0, math.inf),
        "top_p": (0, 1),
        "seed": (0, 2**63 - 1),
    }

    def answer(self, texts: Sequence[str], params: dict[str, Any]) -> list[Any]:
        """One prompt at a time, reseeded, so that prompts do not influence each other."""
        found = []
        for text in texts:
            with self.turn():
                found.append(self._continue(text, **params))
        return found

    def _continue(
        self, prompt: str, max_new_tokens: int, temperature: float, top_k: int, top_p: float, seed: int
    ) -> str:
        import torch

        drawn = {"do_sample": True, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        how = drawn if temperature > 0 else {"do_sample": False}
        end, positions, device = self.tokenizer.eos_token_id, self.positions() or 1 << 30, self.model.device
        # A prompt begins like a training text: with the base's own token, or after an end-of-text token.
        begin = opening(self.tokenizer)
        read = self.shorten(prompt, min(positions, 1 << 20), end=True)
        ids = told = [*(begin or [end]), *self.tokenizer(read, add_special_tokens=False)["input_ids"]]
        new: list[int] = []
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.inference_mode():
            torch.manual_seed(seed)
            while len(new) < max_new_tokens:
                self.require_time()
                if len(ids) >= positions:  # keep the second half, so that a text may outgrow the context
                    ids = [*begin, *ids[-max(1, positions // 2) :]]
                step = min(max_new_tokens - len(new), positions - len(ids))
                context = torch.tensor([ids], device=device)
                out = self.model.generate(
                    context, attention_mask=torch.ones_like(context), max_new_tokens=max(1, step),
                    pad_token_id=end, max_time=self.seconds_left(), **how,
                )[0].tolist()  # fmt: skip
                new += out[len(ids) :]
                ids = out
                if new[-1] == end:
                    new.pop()
                    break
        # Decoded as a whole and then cut: some tokenizers drop a leading space.
        head, whole = (self.tokenizer.decode(some, skip_special_tokens=True) for some in (told, told + new))
        return prompt + str(whole).removeprefix(str(head))


set_model(CausalModel())
