# A line a program, built from the file of its name and the harness.
SIM = tests/sim/sim.c tests/sim/sim.h

sim_tests += tests/sim/sim_learning
tests_sim_sim_learning_SOURCES = tests/sim/sim_learning.c $(SIM)

sim_tests += tests/sim/sim_frames
tests_sim_sim_frames_SOURCES = tests/sim/sim_frames.c $(SIM)

sim_tests += tests/sim/sim_vlan
tests_sim_sim_vlan_SOURCES = tests/sim/sim_vlan.c $(SIM)

sim_tests += tests/sim/sim_ports
tests_sim_sim_ports_SOURCES = tests/sim/sim_ports.c $(SIM)

sim_tests += tests/sim/sim_mirror
tests_sim_sim_mirror_SOURCES = tests/sim/sim_mirror.c $(SIM)

sim_tests += tests/sim/sim_offload
tests_sim_sim_offload_SOURCES = tests/sim/sim_offload.c $(SIM) \
	tests/unit/superframe.c tests/unit/superframe.h

sim_tests += tests/sim/sim_change
tests_sim_sim_change_SOURCES = tests/sim/sim_change.c $(SIM)

sim_tests += tests/sim/sim_config
tests_sim_sim_config_SOURCES = tests/sim/sim_config.c $(SIM)

sim_tests += tests/sim/sim_restart
tests_sim_sim_restart_SOURCES = tests/sim/sim_restart.c $(SIM)

sim_tests += tests/sim/sim_threads
tests_sim_sim_threads_SOURCES = tests/sim/sim_threads.c $(SIM)
thread_tests += tests/sim/sim_threads

sim_tests += tests/sim/sim_workers
tests_sim_sim_workers_SOURCES = tests/sim/sim_workers.c $(SIM)
thread_tests += tests/sim/sim_workers
