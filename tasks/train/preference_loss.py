"""The losses of preference training, from the log-probabilities of the chosen and the rejected answer.

Symbols: y_w and y_l the chosen and the rejected answer to x; log π(y|x) the log-probability of an answer, summed over
its tokens, its end of turn included, in nats; |y| its number of tokens; π_ref the base; σ the logistic function. The
log-ratio of an answer is log π(y|x) - log π_ref(y|x).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tasks.formats.rows import IGNORED
from tasks.train.batches import Batch
from tasks.train.distributed import summed
from tasks.train.loss import MISMATCHED, row_losses
from tasks.train.settings import (
    DpoSettings,
    IpoSettings,
    KtoSettings,
    OrpoSettings,
    PreferenceLoss,
    SimpoSettings,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MEASURES = ("accuracy", "margin")
"""What is told of a validation beside its loss, as means over pairs."""


@dataclass(frozen=True)
class Answers:
    """The answers of some pairs; all tensors are float32 [pairs]."""

    chosen: "torch.Tensor"
    """log π(y_w|x)"""
    rejected: "torch.Tensor"
    """log π(y_l|x)"""
    chosen_tokens: "torch.Tensor"
    rejected_tokens: "torch.Tensor"
    reference_chosen: "torch.Tensor | None" = None
    """log π_ref(y_w|x); None for a loss without a reference."""
    reference_rejected: "torch.Tensor | None" = None
    divergence: "torch.Tensor | None" = None
    """KTO's z_0, a scalar."""

    def ratios(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """The log-ratios of the chosen and the rejected answers."""
        assert self.reference_chosen is not None and self.reference_rejected is not None
        return self.chosen - self.reference_chosen, self.rejected - self.reference_rejected

    def per_token(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """The log-probabilities per token of the chosen and the rejected answers."""
        return self.chosen / self.chosen_tokens, self.rejected / self.rejected_tokens


def dpo(answers: Answers, settings: DpoSettings, training: bool = True) -> "torch.Tensor":
    """-log σ(β (r_w - r_l)), r the log-ratios: Rafailov et al. 2023 (arXiv 2305.18290), equation 7 [pairs].

    With label smoothing ε, in training only: -(1 - ε) log σ(β (r_w - r_l)) - ε log σ(-β (r_w - r_l)), conservative DPO
    (Mitchell 2023, https://ericmitchell.ai/cdpo.pdf).
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = answers.ratios()
    scaled = settings.beta * (chosen - rejected)
    smoothing = settings.label_smoothing if training else 0.0
    return -(1 - smoothing) * logsigmoid(scaled) - smoothing * logsigmoid(-scaled)


def ipo(answers: Answers, settings: IpoSettings) -> "torch.Tensor":
    """(r_w / |y_w| - r_l / |y_l| - 1 / (2 τ))², τ = beta: Azar et al. 2023 (arXiv 2310.12036), equation 17 [pairs].

    The log-ratios are per token, as in TRL, whose authors confirmed with those of the paper that its results were made
    so; otherwise long answers would dominate the squares.
    """
    chosen, rejected = answers.ratios()
    difference = chosen / answers.chosen_tokens - rejected / answers.rejected_tokens
    return (difference - 1 / (2 * settings.beta)) ** 2


def kto(answers: Answers, settings: KtoSettings) -> "torch.Tensor":
    """½ [λ_D (1 - σ(β (r_w - z_0))) + λ_U (1 - σ(β (z_0 - r_l)))]: Ethayarajh et al. 2024 (arXiv 2402.01306), section
    4.1, whose mean is over single answers, of which a pair has two [pairs].

    z_0 is the divergence from the base, estimated by `divergence`; no gradient flows through it.
    """
    import torch

    chosen, rejected = answers.ratios()
    assert answers.divergence is not None
    desirable = 1 - torch.sigmoid(settings.beta * (chosen - answers.divergence))
    undesirable = 1 - torch.sigmoid(settings.beta * (answers.divergence - rejected))
    return (settings.desirable_weight * desirable + settings.undesirable_weight * undesirable) / 2


def divergence(model: "torch.Tensor", reference: "torch.Tensor", share: "torch.Tensor | None" = None) -> "torch.Tensor":
    """KTO's z_0 = max(0, mean of log π(y'|x) - log π_ref(y'|x)), a scalar in nats: its paper's estimate, section 4.1.

    `model` and `reference` [answers]: log-probabilities of answers y' to other prompts than x. `share`: of a batch that
    is dealt over ranks, the part that this one has; the mean is over all of them.
    """
    mean = (model - reference).mean()
    return (mean if share is None else summed(mean * share)).clamp(min=0).detach()


def orpo(answers: Answers, settings: OrpoSettings) -> "torch.Tensor":
    """-log P(y_w|x) - λ log σ(log odds(y_w|x) - log odds(y_l|x)), λ = beta: Hong et al. 2024 (arXiv 2403.07691),
    equations 6 and 7 [pairs].

    P is the likelihood per token, log P(y|x) = log π(y|x) / |y| (equation 1), and odds = P / (1 - P). The first term is
    of the answer alone, as in the paper; TRL adds the tokens of the prompt.
    """
    from torch.nn.functional import logsigmoid

    chosen, rejected = answers.per_token()
    return -chosen - settings.beta * logsigmoid(_log_odds(chosen) - _log_odds(rejected))


def _log_odds(log_p: "torch.Tensor") -> "torch.Tensor":
    """log (p / (1 - p)); finite for p = 1."""
    import torch

    log_p = log_p.clamp(max=-torch.finfo(torch.float32).eps)
    small = log_p > -math.log(2)  # Mächler 2012, "Accurately computing log(1 - exp(-|a|))", equation 7
    inverse = torch.where(
        small,
        torch.log(-torch.expm1(torch.where(small, log_p, -1.0))),
        torch.log1p(-torch.exp(torch.where(small, -1.0, log_p))),
    )
    return log_p - inverse


def simpo(answers: Answers, settings: SimpoSettings) -> "torch.Tensor":
    """-log σ(β log π(y_w|x) / |y_w| - β log π(y_l|x) / |y_l| - γ): Meng et al. 2024 (arXiv 2405.14734), equation 6
    [pairs]."""
    from torch.nn.functional import logsigmoid

    chosen, rejected = answers.per_token()
    return -logsigmoid(settings.beta * (chosen - rejected) - settings.gamma)


def preference_losses(answers: Answers, settings: PreferenceLoss, training: bool = True) -> "torch.Tensor":
    """The loss of each pair, float32 [pairs]; `training`: with label smoothing."""
    match settings:
        case DpoSettings():
            return dpo(answers, settings, training)
        case IpoSettings():
            return ipo(answers, settings)
        case KtoSettings():
            return kto(answers, settings)
        case OrpoSettings():
            return orpo(answers, settings)
        case SimpoSettings():
            return simpo(answers, settings)


def read_answers(model: "PreTrainedModel", batch: Batch) -> Answers:
    """Run a batch of `tasks.train.preferences`."""
    import torch

    chosen, rejected = log_probabilities(model, batch).chunk(2)
    tokens = (batch["labels"] != IGNORED).sum(dim=1).float().chunk(2)
    references = batch["reference"].chunk(2) if "reference" in batch else (None, None)
    away = None
    if f"{MISMATCHED}input_ids" in batch:
        with torch.no_grad():
            others = log_probabilities(model, mismatched(batch))
        away = divergence(others, batch[f"{MISMATCHED}reference"], batch.get("share"))
    return Answers(chosen, rejected, tokens[0], tokens[1], references[0], references[1], away)


def log_probabilities(model: "PreTrainedModel", batch: Batch) -> "torch.Tensor":
    """log π(y|x) of each row, float32 [rows]."""
    return -row_losses(model, batch)


def mismatched(batch: Batch) -> Batch:
    """The rows for KTO's estimate, each a prompt with the answer to another one."""
    return {name.removeprefix(MISMATCHED): part for name, part in batch.items() if name.startswith(MISMATCHED)}


def measured(model: "PreTrainedModel", batch: Batch, settings: PreferenceLoss) -> "list[torch.Tensor]":
    """Sums over the pairs of a batch: the loss, how many prefer the chosen answer, and the margin in nats.

    With a reference, a pair is right if the log-ratio of the chosen answer is higher, and its margin is the difference
    of the log-ratios. Without, both are of the log-probabilities per token.
    """
    answers = read_answers(model, batch)
    losses = preference_losses(answers, settings, training=False)
    chosen, rejected = answers.per_token() if answers.reference_chosen is None else answers.ratios()
    return [losses.sum(), (chosen > rejected).float().sum(), (chosen - rejected).sum()]
