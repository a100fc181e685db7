noinst_LIBRARIES += control/libcontrol.a
control_libcontrol_a_SOURCES = \
	control/rpc_call.c \
	control/rpc_client.c control/rpc_client.h \
	control/rpc_conn.c \
	control/rpc_discover.c \
	control/rpc_internal.h \
	control/rpc_json.c control/rpc_json.h \
	control/rpc_listen.c control/rpc_listen.h \
	control/rpc_method.c control/rpc_method.h \
	control/rpc_server.c control/rpc_server.h

# Everything of switchctl but its main(), for the tests.
noinst_LIBRARIES += control/switchctl/libswitchctl.a
control_switchctl_libswitchctl_a_SOURCES = \
	control/switchctl/complete.c control/switchctl/complete.h \
	control/switchctl/doc.c control/switchctl/doc.h \
	control/switchctl/help.c control/switchctl/help.h \
	control/switchctl/params.c control/switchctl/params.h \
	control/switchctl/render.c control/switchctl/render.h

bin_PROGRAMS += control/switchctl/switchctl
control_switchctl_switchctl_SOURCES = control/switchctl/main.c
control_switchctl_switchctl_LDADD = control/switchctl/libswitchctl.a \
	$(CONTROL_LIBS)
dist_man_MANS += control/switchctl/switchctl.8

pkglibexec_PROGRAMS += control/helper/switchd-helper
control_helper_switchd_helper_SOURCES = control/helper/main.c
control_helper_switchd_helper_LDADD = $(CONTROL_LIBS)
dist_man_MANS += control/helper/switchd-helper.8

# Everything of switchd-libvirt but its main().
if HAVE_LIBVIRT
noinst_LIBRARIES += control/libvirt/liblibvirt.a
control_libvirt_liblibvirt_a_SOURCES = \
	control/libvirt/converge.c control/libvirt/converge.h \
	control/libvirt/domain_xml.c control/libvirt/domain_xml.h \
	control/libvirt/hypervisor.c control/libvirt/hypervisor.h \
	control/libvirt/switch_side.c control/libvirt/switch_side.h \
	control/libvirt/sync.c control/libvirt/sync.h \
	control/libvirt/wanted.c control/libvirt/wanted.h
control_libvirt_liblibvirt_a_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS)

sbin_PROGRAMS += control/libvirt/switchd-libvirt
control_libvirt_switchd_libvirt_SOURCES = control/libvirt/main.c
control_libvirt_switchd_libvirt_LDADD = control/libvirt/liblibvirt.a \
	$(CONTROL_LIBS) $(LIBVIRT_LIBS)
man_MANS += control/libvirt/switchd-libvirt.8
endif
EXTRA_DIST += control/libvirt/switchd-libvirt.8

dist_bashcompletions_DATA += etc/completions/switchctl.bash
dist_zshcompletions_DATA += etc/completions/_switchctl
