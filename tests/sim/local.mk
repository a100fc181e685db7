# A line a program, built from the file of its name and the harness.
SIM = tests/sim/sim.c tests/sim/sim.h tests/sim/sim_kernel.h

# The kernel fast path's programs once more, for test runs.
if HAVE_BPF
SIM += tests/sim/sim_kernel.c tests/sim/sim_kernel_compare.c \
	tests/sim/sim_copy.h
tests/sim/sim_kernel.$(OBJEXT): tests/sim/sim_kernel.skel.h
tests/sim/sim_kernel.bpf.o: tests/sim/sim_kernel.bpf.c Makefile
	$(AM_V_GEN)$(MKDIR_P) tests/sim && $(BPF_CLANG) -target bpf -mcpu=v3 \
		-O2 -g -std=gnu11 -ffreestanding $(BPF_WARN_CFLAGS) -I$(top_srcdir) \
		$(BPF_CPPFLAGS) -MMD -MP -MF tests/sim/sim_kernel.bpf.d \
		-c $(srcdir)/tests/sim/sim_kernel.bpf.c -o $@
tests/sim/sim_kernel.skel.h: tests/sim/sim_kernel.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen object tests/sim/sim_kernel.linked.o $< && \
		$(BPFTOOL) gen skeleton tests/sim/sim_kernel.linked.o \
			name sim_kernel_bpf >$@.tmp && mv $@.tmp $@
-include tests/sim/sim_kernel.bpf.d
CLEANFILES += tests/sim/sim_kernel.bpf.o tests/sim/sim_kernel.bpf.d \
	tests/sim/sim_kernel.linked.o tests/sim/sim_kernel.skel.h \
	tests/sim/sim_kernel.skel.h.tmp
else
SIM += tests/sim/sim_kernel_none.c
endif
EXTRA_DIST += tests/sim/sim_kernel.bpf.c tests/sim/sim_copy.h \
	tests/sim/sim_kernel.c \
	tests/sim/sim_kernel_compare.c tests/sim/sim_kernel_none.c

sim_tests += tests/sim/sim_learning
tests_sim_sim_learning_SOURCES = tests/sim/sim_learning.c $(SIM)

sim_tests += tests/sim/sim_runs
tests_sim_sim_runs_SOURCES = tests/sim/sim_runs.c $(SIM)

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

sim_tests += tests/sim/sim_control
tests_sim_sim_control_SOURCES = tests/sim/sim_control.c $(SIM)

sim_tests += tests/sim/sim_config
tests_sim_sim_config_SOURCES = tests/sim/sim_config.c $(SIM)

sim_tests += tests/sim/sim_listener
tests_sim_sim_listener_SOURCES = tests/sim/sim_listener.c \
	tests/sim/guests.h $(SIM)

sim_tests += tests/sim/sim_listener_gone
tests_sim_sim_listener_gone_SOURCES = tests/sim/sim_listener_gone.c \
	tests/sim/guests.h $(SIM)

sim_tests += tests/sim/sim_listener_limits
tests_sim_sim_listener_limits_SOURCES = tests/sim/sim_listener_limits.c \
	tests/sim/guests.h $(SIM)

sim_tests += tests/sim/sim_restart
tests_sim_sim_restart_SOURCES = tests/sim/sim_restart.c $(SIM)

sim_tests += tests/sim/sim_threads
tests_sim_sim_threads_SOURCES = tests/sim/sim_threads.c $(SIM)
thread_tests += tests/sim/sim_threads

sim_tests += tests/sim/sim_workers
tests_sim_sim_workers_SOURCES = tests/sim/sim_workers.c \
	tests/sim/source.c tests/sim/source.h $(SIM)
thread_tests += tests/sim/sim_workers

sim_tests += tests/sim/sim_awake
tests_sim_sim_awake_SOURCES = tests/sim/sim_awake.c \
	tests/sim/memory.c tests/sim/memory.h \
	tests/sim/source.c tests/sim/source.h $(SIM)
thread_tests += tests/sim/sim_awake

sim_tests += tests/sim/sim_fastpath
tests_sim_sim_fastpath_SOURCES = tests/sim/sim_fastpath.c tests/sim/fast.h $(SIM)

sim_tests += tests/sim/sim_fastpath_offload
tests_sim_sim_fastpath_offload_SOURCES = tests/sim/sim_fastpath_offload.c \
	tests/sim/fast.h $(SIM) tests/unit/superframe.c tests/unit/superframe.h

sim_tests += tests/sim/sim_fastpath_random
tests_sim_sim_fastpath_random_SOURCES = tests/sim/sim_fastpath_random.c \
	tests/sim/fast.h $(SIM) tests/unit/superframe.c tests/unit/superframe.h

sim_tests += tests/sim/sim_fastpath_race
tests_sim_sim_fastpath_race_SOURCES = tests/sim/sim_fastpath_race.c \
	tests/sim/fast.h $(SIM)
