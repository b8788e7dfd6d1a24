"""Distillation losses: one file each, named like its registry name; parameters in `autodistill.losses.configs`.

Every loss follows `autodistill.components.training.DistillationLoss`. The trainer multiplies by ``weight`` and sums;
which losses act when is the schedule's matter (`autodistill.schedules`).
"""
