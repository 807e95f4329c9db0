"""What benchmarks/gpu.py measures and checks on a graphics card."""
