"""The model in torch, for training: the equations of `charlm.cells`, on fused kernels."""
