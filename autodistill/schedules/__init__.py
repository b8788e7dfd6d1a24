"""Schedules: how many examples, in which phases, with which losses and layers; parameters in `.configs`.

Every schedule follows `autodistill.components.training.Schedule`. Taking the steps is `autodistill.training`'s work.
"""
