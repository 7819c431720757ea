"""Between memory and array: operand buffers and how they are read, tile loops, the ring of result tiles."""
