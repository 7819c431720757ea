"""Parts of large programs on the RTL."""
