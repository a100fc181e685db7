noinst_LIBRARIES += switchd/libswitchd.a
switchd_libswitchd_a_SOURCES = \
	switchd/access.c switchd/access.h \
	switchd/balance.c switchd/balance.h \
	switchd/broker.c switchd/broker.h \
	switchd/config.c switchd/config.h \
	switchd/config_apply.c \
	switchd/config_file.c \
	switchd/config_line.c \
	switchd/daemon.c switchd/daemon.h \
	switchd/daemon_orders.c \
	switchd/daemon_start.c \
	switchd/decide.h \
	switchd/grants.c switchd/grants.h \
	switchd/helper.c switchd/helper.h \
	switchd/isolate.c switchd/isolate.h \
	switchd/isolate_internal.h \
	switchd/isolate_syscalls.c \
	switchd/journal.c switchd/journal.h \
	switchd/ledger.c switchd/ledger.h \
	switchd/method_config.c \
	switchd/method_fdb.c \
	switchd/method_port.c \
	switchd/method_switch.c \
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
	switchd/proto.c switchd/proto.h \
	switchd/roles.c switchd/roles.h \
	switchd/snapshot.c switchd/snapshot.h \
	switchd/sockets.c switchd/sockets.h \
	switchd/static.c \
	switchd/switch.c switchd/switch.h \
	switchd/switch_fdb.c switchd/switch_fdb.h \
	switchd/switch_port.c \
	switchd/switch_state.c \
	switchd/switch_worker.c \
	switchd/worker.c switchd/worker.h

sbin_PROGRAMS += switchd/switchd
switchd_switchd_SOURCES = switchd/main.c
switchd_switchd_LDADD = $(SWITCHD_LIBS)
dist_man_MANS += switchd/switchd.8 switchd/switchd.conf.5 \
	switchd/switchd-protocol.7
