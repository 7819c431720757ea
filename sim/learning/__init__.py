"""Networks that learn on the RTL."""
