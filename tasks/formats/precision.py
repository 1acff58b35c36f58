"""Number formats that a device computes fast. Served models include this file."""


def bf16_in_hardware(place: str) -> bool:
    """Whether bf16 is faster than fp32; on a CPU without AVX512_BF16 or AMX it is many times slower."""
    import torch

    if place == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if place == "mps":
        return False
    features = torch.cpu.get_capabilities()
    return any(features.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
