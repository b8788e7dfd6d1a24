"""Pruners: stop hopeless flash runs at a rung. One file per pruner."""
