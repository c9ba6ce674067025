"""DeepSpeech2 on PaddlePaddle, trained and evaluated as a DVC pipeline."""

from ds2 import cpu

# Before anything can load paddle: the math library reads its environment once, when it is loaded.
cpu.prefer_fast_kernels()
