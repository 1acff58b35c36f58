"""The registered model as MLflow runs it: prompts in, texts out.

MLflow copies this file into every version, so it stands alone and imports nothing of the project.
"""

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class CausalLanguageModel(PythonModel):
    """Goes on with each prompt; the same prompt, parameters and seed give the same text on the same machine."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load tokenizer and weights from the folder in Hugging Face format."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder = context.artifacts["model"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self.model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> list[str]:
        """Column of prompts (MLflow makes it from a list) → the prompts with their continuations."""
        given = params or {}
        return [
            prompt
            + self._continue(
                prompt,
                max_new_tokens=int(given.get("max_new_tokens", 200)),
                temperature=float(given.get("temperature", 0.8)),
                top_k=int(given.get("top_k", 50)),
                top_p=float(given.get("top_p", 1.0)),
                seed=int(given.get("seed", 0)),
            )
            for prompt in model_input.iloc[:, 0]
        ]

    def _continue(
        self, prompt: str, max_new_tokens: int, temperature: float, top_k: int, top_p: float, seed: int
    ) -> str:
        import torch

        drawn = {"do_sample": True, "temperature": temperature, "top_k": top_k, "top_p": top_p}
        how = drawn if temperature > 0 else {"do_sample": False}
        end = self.tokenizer.eos_token_id
        positions = getattr(self.model.config, "max_position_embeddings", None) or 1 << 30
        # Training texts follow an end-of-text token, so a prompt does too.
        ids = [end, *self.tokenizer(prompt, add_special_tokens=False)["input_ids"]]
        new: list[int] = []
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(seed)
            while len(new) < max_new_tokens:
                if len(ids) >= positions:  # go on from the latter half, so that a text may outgrow the model's context
                    ids = ids[-max(1, positions // 2) :]
                step = min(max_new_tokens - len(new), positions - len(ids))
                context = torch.tensor([ids])
                out = self.model.generate(
                    context, attention_mask=torch.ones_like(context), max_new_tokens=max(1, step),
                    pad_token_id=end, **how,
                )[0].tolist()  # fmt: skip
                new += out[len(ids) :]
                ids = out
                if new[-1] == end:
                    new.pop()
                    break
        return str(self.tokenizer.decode(new))


set_model(CausalLanguageModel())
