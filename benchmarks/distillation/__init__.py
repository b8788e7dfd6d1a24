"""The benchmark of the distillation: step time, learning rates; see README.md."""
