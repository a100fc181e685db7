# Scripts need no listing; programs they call: test_programs += ...
# Not the folder: `make dist` would take the objects of a build along.
EXTRA_DIST += $(wildcard $(srcdir)/tests/e2e/*.sh $(srcdir)/tests/e2e/*.py)
test_programs += tests/e2e/offload_kernel tests/e2e/offload_tunnel
tests_e2e_offload_kernel_SOURCES = tests/e2e/offload_kernel.c \
	tests/unit/superframe.c tests/unit/superframe.h
tests_e2e_offload_tunnel_SOURCES = tests/e2e/offload_tunnel.c \
	tests/unit/superframe.c tests/unit/superframe.h
if HAVE_BPF
test_programs += tests/e2e/fastpath_calls
tests_e2e_fastpath_calls_SOURCES = tests/e2e/fastpath_calls.c \
	tests/unit/fds.h tests/unit/monitor_calls.h tests/unit/monitor_rig.h
endif
test_programs += tests/e2e/ports_kernel
tests_e2e_ports_kernel_SOURCES = \
	tests/e2e/ports_kernel.c tests/e2e/ports_kernel.h \
	tests/e2e/ports_kernel_guard.c tests/e2e/ports_kernel_link.c \
	tests/e2e/ports_kernel_netdev.c tests/e2e/ports_kernel_tap.c \
	tests/e2e/ports_kernel_queues.c tests/e2e/ports_kernel_traffic.c \
	tests/e2e/guest.c tests/e2e/guest.h \
	tests/unit/superframe.c tests/unit/superframe.h
test_programs += tests/e2e/vhost_hostile
tests_e2e_vhost_hostile_SOURCES = tests/e2e/vhost_hostile.c \
	tests/unit/vhost_front.c tests/unit/vhost_front.h \
	tests/unit/vhost_driver.c tests/unit/vhost_driver.h
test_programs += tests/e2e/older_kernel
tests_e2e_older_kernel_LDADD = $(LIBSECCOMP_LIBS)
test_programs += tests/e2e/steady
# Nothing of the switch is in it.
tests_e2e_steady_LDADD =
test_programs += tests/e2e/fastpath_csum tests/e2e/fastpath_order
tests_e2e_fastpath_csum_SOURCES = \
	tests/e2e/fastpath_csum.c tests/e2e/fastpath_csum.h \
	tests/e2e/fastpath_csum_frames.c tests/e2e/fastpath_csum_tunnels.c \
	tests/e2e/guest.c tests/e2e/guest.h \
	tests/unit/superframe.c tests/unit/superframe.h
tests_e2e_fastpath_order_SOURCES = tests/e2e/fastpath_order.c \
	tests/e2e/guest.c tests/e2e/guest.h \
	tests/unit/superframe.c tests/unit/superframe.h
