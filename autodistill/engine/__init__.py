"""The engine: studies, trials, storage, search space, Pareto front, the explore loop and `run`."""
