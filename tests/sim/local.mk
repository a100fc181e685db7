# A line a program: sim_tests += tests/sim/sim_NAME (from sim_NAME.c).
