"""Tensors in, tensors out: the encoders, their fusion and the heads. Imports nothing of datasets/ or core/."""
