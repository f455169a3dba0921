"""What children.py forks from has imported: everything that a run needs, some of which is imported late."""

import matplotlib.pyplot
import torch
import torch.utils.tensorboard
import transformers.models.bert.modeling_bert

import main
from tests import tiny

__all__ = ["main", "matplotlib", "tiny", "torch", "transformers"]
