"""What turns a model and batches into a trained, measured model. Of datasets/ it uses the VideoBatch type alone."""

import os

# Huge pages for tensors of 2 MB and more, if it is said before the first tensor: on a CPU a step of the published sizes
# takes 0.4 GB less with them, and a step of the demo a tenth less time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
