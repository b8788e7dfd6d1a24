"""The benchmark of the search: how much of the true front each strategy finds per trial; see README.md."""
