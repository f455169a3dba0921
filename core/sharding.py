"""Weights, gradients and the optimiser's state divided among processes (PyTorch's fully_shard), for large encoders.

Every transformer layer is gathered when its turn comes and divided again behind it. Imported only where it is asked
for, because that takes seconds.
"""

from __future__ import annotations

from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.export import register_dataclass

from models.layers import TransformerLayer
from models.mart import MART, MARTOutput
from models.mbt import MBT, MBTOutput, SegmentTokens
from models.tacl import WordVectors
from models.text import TextEncoder

for _output in (SegmentTokens, MBTOutput, WordVectors, MARTOutput):
    register_dataclass(_output)  # gathering for the backward pass hangs on the tensors in them


def shard(model: MART | MBT, *, teacher: bool) -> None:
    """Divide a model in place, before its optimiser is made. The frozen text encoder stays whole in every process.

    teacher: the model is only read, within `distributed.whole`.
    """
    mbt = model.mbt if isinstance(model, MART) else model
    texts = [module for module in model.modules() if isinstance(module, TextEncoder)]
    ignored = {parameter for text in texts for parameter in text.parameters()}
    for layer in [module for module in model.modules() if isinstance(module, TransformerLayer)]:
        fully_shard(layer, reshard_after_forward=not teacher, ignored_params=ignored)
    for part in dict.fromkeys((mbt, model)):
        fully_shard(part, reshard_after_forward=not teacher, ignored_params=ignored)
    for method in ("encode", "score"):  # MART calls them past MBT.forward
        register_fsdp_forward_method(mbt, method)
