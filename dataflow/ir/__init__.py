"""The program, and what it is made of: operations, matrix views, stages."""
