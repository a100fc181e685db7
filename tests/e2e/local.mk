# Scripts need no listing; programs they call: test_programs += ...
# Not the folder: `make dist` would take the objects of a build along.
EXTRA_DIST += $(wildcard $(srcdir)/tests/e2e/*.sh $(srcdir)/tests/e2e/*.py)
test_programs += tests/e2e/offload_kernel tests/e2e/offload_tunnel
tests_e2e_offload_kernel_SOURCES = tests/e2e/offload_kernel.c \
	tests/unit/superframe.c tests/unit/superframe.h
tests_e2e_offload_tunnel_SOURCES = tests/e2e/offload_tunnel.c \
	tests/unit/superframe.c tests/unit/superframe.h
test_programs += tests/e2e/ports_kernel
tests_e2e_ports_kernel_SOURCES = \
	tests/e2e/ports_kernel.c tests/e2e/ports_kernel.h \
	tests/e2e/ports_kernel_guard.c tests/e2e/ports_kernel_link.c \
	tests/e2e/ports_kernel_netdev.c tests/e2e/ports_kernel_tap.c \
	tests/e2e/ports_kernel_queues.c tests/e2e/ports_kernel_traffic.c \
	tests/unit/superframe.c tests/unit/superframe.h
test_programs += tests/e2e/steady
# Nothing of the switch is in it.
tests_e2e_steady_LDADD =
