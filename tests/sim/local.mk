# A line a program, built from the file of its name and the harness.
SIM = tests/sim/sim.c tests/sim/sim.h

sim_tests += tests/sim/sim_learning
tests_sim_sim_learning_SOURCES = tests/sim/sim_learning.c $(SIM)
