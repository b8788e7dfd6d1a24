"""A template plugin of AutoDistill: the search strategy ``template_annealing``."""
