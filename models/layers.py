"""What both encoders share: initialisation and the choice of tokens."""

from __future__ import annotations

from torch import Tensor, nn


def initialise(module: nn.Module) -> None:
    """MAE's initialisation: Xavier-uniform projections, zero biases, special tokens and learned tables N(0, 0.02)."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            nn.init.xavier_uniform_(layer.weight.view(layer.out_channels, -1))
            nn.init.zeros_(layer.bias)
    for name, parameter in module.named_parameters():
        if name.endswith(("_token", "pos_embed")):
            nn.init.normal_(parameter, std=0.02)


def gather_tokens(tokens: Tensor, indices: Tensor) -> Tensor:
    """Rows of tokens (N, M, D) at indices (N, n): (N, n, D)."""
    return tokens.gather(1, indices[..., None].expand(-1, -1, tokens.shape[-1]))
