"""The learning rate schedule."""

import math

from tasks.train.settings import ScheduleSettings


def share(step: int, steps: int, settings: ScheduleSettings) -> float:
    """The fraction of the peak learning rate at update `step` of `steps`, counted from 0.

    The warm-up is linear and starts above 0; wsd is from Hägele et al. 2024 (https://arxiv.org/abs/2405.18392).
    """
    if step < settings.warmup_steps:
        return (step + 1) / (settings.warmup_steps + 1)
    start = (
        settings.warmup_steps if settings.name != "wsd" else max(settings.warmup_steps, steps * (1 - settings.decay))
    )
    done = min(max(step - start, 0) / max(steps - start, 1), 1.0)
    fall = (1 + math.cos(math.pi * done)) / 2 if settings.name == "cosine" else 1 - done
    return settings.final + (1 - settings.final) * fall


def stable_steps(steps: int, settings: ScheduleSettings) -> int:
    """wsd: the number of steps before the decay, which a longer training takes at the same rates; 0 for others."""
    start = int(max(settings.warmup_steps, steps * (1 - settings.decay))) if settings.name == "wsd" else 0
    return start if start < steps else 0
