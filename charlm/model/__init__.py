"""The model as it is trained, in torch. The same equations as `charlm.cells`, on fused kernels."""
