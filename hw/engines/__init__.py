"""What works on words of lanes: passes, functions, reductions, weight updates, and the selection of N of M."""
