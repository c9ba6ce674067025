"""DeepSpeech2 on PaddlePaddle, trained and evaluated as a DVC pipeline."""

import warnings

from ds2 import cpu, places

# Before anything can load paddle: the math library reads its environment once, when it is loaded.
cpu.prefer_fast_kernels()
cpu.keep_freed_memory()
places.prepare()

# Paddle's advice for those who compile extensions, at every import.
warnings.filterwarnings("ignore", message="No ccache found")
