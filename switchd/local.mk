noinst_LIBRARIES += switchd/libswitchd.a
switchd_libswitchd_a_SOURCES = \
	switchd/access.c switchd/access.h \
	switchd/awake.c switchd/awake.h \
	switchd/balance.c switchd/balance.h \
	switchd/broker.c switchd/broker.h \
	switchd/config.c switchd/config.h \
	switchd/config_apply.c \
	switchd/config_file.c \
	switchd/config_internal.h \
	switchd/config_line.c \
	switchd/config_ports.c \
	switchd/daemon.c switchd/daemon.h \
	switchd/daemon_control.c \
	switchd/daemon_listen.c \
	switchd/daemon_orders.c \
	switchd/daemon_start.c \
	switchd/decide.h \
	switchd/fastpath.h \
	switchd/fastpath_load.h \
	switchd/fastpath_map.c switchd/fastpath_map.h \
	switchd/fastpath_mix.c switchd/fastpath_mix.h \
	switchd/grants.c switchd/grants.h \
	switchd/grants_held.c switchd/grants_held.h \
	switchd/helper.c switchd/helper.h \
	switchd/isolate.c switchd/isolate.h \
	switchd/isolate_internal.h \
	switchd/isolate_syscalls.c \
	switchd/journal.c switchd/journal.h \
	switchd/ledger.c switchd/ledger.h \
	switchd/listener.c switchd/listener.h \
	switchd/listener_accept.c \
	switchd/listener_config.c \
	switchd/listener_internal.h \
	switchd/method_config.c \
	switchd/method_fdb.c \
	switchd/method_listener.c \
	switchd/method_port.c \
	switchd/method_switch.c \
	switchd/method_vhost.c \
	switchd/methods.c switchd/methods.h \
	switchd/mirror.c \
	switchd/monitor.c switchd/monitor.h \
	switchd/monitor_calls.c \
	switchd/monitor_internal.h \
	switchd/monitor_settings.c \
	switchd/monitor_upgrade.c \
	switchd/notify.c switchd/notify.h \
	switchd/pipeline.c switchd/pipeline.h \
	switchd/policy.c switchd/policy.h \
	switchd/polling.h \
	switchd/portconf.c switchd/portconf.h \
	switchd/portconf_params.h \
	switchd/portconf_types.c switchd/portconf_types.h \
	switchd/proto.c switchd/proto.h \
	switchd/punt.h \
	switchd/roles.c switchd/roles.h \
	switchd/snapshot.c switchd/snapshot.h \
	switchd/sockets.c switchd/sockets.h \
	switchd/static.c \
	switchd/switch.c switchd/switch.h \
	switchd/switch_control.c \
	switchd/switch_fast.c switchd/switch_fast.h \
	switchd/switch_fdb.c switchd/switch_fdb.h \
	switchd/switch_leave.c \
	switchd/switch_link.c \
	switchd/switch_port.c \
	switchd/switch_state.c \
	switchd/switch_worker.c \
	switchd/worker.c switchd/worker.h \
	switchd/worker_internal.h \
	switchd/worker_look.c

# The programs for the kernel, as a header that has them as bytes. The second
# step leaves the debugging information out that nobody reads in there.
if HAVE_BPF
switchd_libswitchd_a_SOURCES += switchd/fastpath_load.c
switchd/fastpath_load.$(OBJEXT): switchd/fastpath.skel.h
switchd/fastpath.bpf.o: switchd/fastpath.bpf.c Makefile
	$(AM_V_GEN)$(MKDIR_P) switchd && $(BPF_CLANG) -target bpf -mcpu=v3 \
		-O2 -g -std=gnu11 -ffreestanding $(BPF_WARN_CFLAGS) -I$(top_srcdir) \
		$(BPF_CPPFLAGS) -MMD -MP -MF switchd/fastpath.bpf.d \
		-c $(srcdir)/switchd/fastpath.bpf.c -o $@
switchd/fastpath.skel.h: switchd/fastpath.bpf.o
	$(AM_V_GEN)$(BPFTOOL) gen object switchd/fastpath.linked.o $< && \
		$(BPFTOOL) gen skeleton switchd/fastpath.linked.o \
			name fastpath_bpf >$@.tmp && mv $@.tmp $@
-include switchd/fastpath.bpf.d
CLEANFILES += switchd/fastpath.bpf.o switchd/fastpath.bpf.d \
	switchd/fastpath.linked.o switchd/fastpath.skel.h \
	switchd/fastpath.skel.h.tmp
else
switchd_libswitchd_a_SOURCES += switchd/fastpath_none.c
endif
EXTRA_DIST += switchd/fastpath.bpf.c switchd/fastpath_bpf.h \
	switchd/fastpath_csum.h

sbin_PROGRAMS += switchd/switchd
switchd_switchd_SOURCES = switchd/main.c
switchd_switchd_LDADD = $(SWITCHD_LIBS)
dist_man_MANS += switchd/switchd.8 switchd/switchd.conf.5 \
	switchd/switchd-protocol.7
