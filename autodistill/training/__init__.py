"""Training: tokenised splits, the example stream, features, teacher features and their cache, and the runs.

`distil` trains a student, `fine_tune` a teacher, `predict` answers; all on PyTorch Lightning where steps are taken.
What a loss or a schedule is stands in `autodistill.losses` and `autodistill.schedules`; what to train in which order
is the engine's matter.
"""
