"""What stays in the array, how buffers are shared, and which outputs share a USPE: choices and the pins that fix them."""
