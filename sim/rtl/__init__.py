"""What runs on the RTL: the accelerator, products, single blocks; and what it wrote."""
