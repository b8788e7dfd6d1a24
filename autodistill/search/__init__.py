"""Search strategies: what is proposed next, given what has been seen; one file per strategy."""
