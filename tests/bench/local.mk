# A line a program: bench_programs += tests/bench/NAME (from NAME.c).
