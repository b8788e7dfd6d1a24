"""Baselines: architectures that a study's picks must beat, trained with the same recipe.

`teacher_truncated` drops layers, `uniform_scaling` turns one knob, `named` has published sizes. What they cost and how
they are compared is in `autodistill.engine` and `autodistill.report`.
"""
