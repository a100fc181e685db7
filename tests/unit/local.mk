# A line a program, in the order of the folders. Each is built from the file of
# its name and linked with everything ($(LDADD)).
unit_tests += tests/unit/test_crc32c
unit_tests += tests/unit/test_epoch
unit_tests += tests/unit/test_error
unit_tests += tests/unit/test_fds
unit_tests += tests/unit/test_log
unit_tests += tests/unit/test_mac
unit_tests += tests/unit/test_memfd
unit_tests += tests/unit/test_rights
unit_tests += tests/unit/test_fdb
unit_tests += tests/unit/test_fdb_fairness
unit_tests += tests/unit/test_fdb_race
EXTRA_DIST += tests/unit/fdb_fixture.h
unit_tests += tests/unit/test_rpc_client
unit_tests += tests/unit/test_rpc_conn
unit_tests += tests/unit/test_rpc_listen
unit_tests += tests/unit/test_rpc_params
unit_tests += tests/unit/test_rpc_server
EXTRA_DIST += tests/unit/rpc_rig.h
unit_tests += tests/unit/test_switchctl
tests_unit_test_switchctl_LDADD = control/switchctl/libswitchctl.a $(LDADD)
if HAVE_LIBVIRT
LIBVIRT_LDADD = control/libvirt/liblibvirt.a $(LDADD) $(LIBVIRT_LIBS)
unit_tests += tests/unit/test_libvirt_converge
tests_unit_test_libvirt_converge_LDADD = $(LIBVIRT_LDADD)
unit_tests += tests/unit/test_libvirt_events
tests_unit_test_libvirt_events_LDADD = $(LIBVIRT_LDADD)
unit_tests += tests/unit/test_libvirt_xml
tests_unit_test_libvirt_xml_LDADD = $(LIBVIRT_LDADD)
endif

# Those with threads in them run under ThreadSanitizer too.
thread_tests += tests/unit/test_epoch
thread_tests += tests/unit/test_fdb_race
unit_tests += tests/unit/test_offload
unit_tests += tests/unit/test_offload_check
tests_unit_test_offload_SOURCES = tests/unit/test_offload.c \
	tests/unit/offload_fixture.h \
	tests/unit/superframe.c tests/unit/superframe.h
tests_unit_test_offload_check_SOURCES = tests/unit/test_offload_check.c \
	tests/unit/offload_fixture.h \
	tests/unit/superframe.c tests/unit/superframe.h
unit_tests += tests/unit/test_merge
tests_unit_test_merge_SOURCES = tests/unit/test_merge.c \
	tests/unit/offload_fixture.h \
	tests/unit/superframe.c tests/unit/superframe.h
unit_tests += tests/unit/test_backlog
unit_tests += tests/unit/test_capfile
unit_tests += tests/unit/test_datagrams
unit_tests += tests/unit/test_dummy
unit_tests += tests/unit/test_link
unit_tests += tests/unit/test_listen
unit_tests += tests/unit/test_netlink
unit_tests += tests/unit/test_pcap
unit_tests += tests/unit/test_pcap_filter
unit_tests += tests/unit/test_pcap_keeper
unit_tests += tests/unit/test_pcap_resume
unit_tests += tests/unit/test_ring
unit_tests += tests/unit/test_slirp_config
unit_tests += tests/unit/test_slirp_fragments
unit_tests += tests/unit/test_udp_gro
unit_tests += tests/unit/test_vde
unit_tests += tests/unit/test_vde_request
unit_tests += tests/unit/test_vhost_acquire
unit_tests += tests/unit/test_vhost_call
unit_tests += tests/unit/test_vhost_connect
unit_tests += tests/unit/test_vhost_lost
unit_tests += tests/unit/test_vhost_mem
unit_tests += tests/unit/test_vhost_state
EXTRA_DIST += tests/unit/capture.h tests/unit/vhost_acquire.h
thread_tests += tests/unit/test_backlog
thread_tests += tests/unit/test_capfile
thread_tests += tests/unit/test_pcap_filter
thread_tests += tests/unit/test_pcap_keeper
thread_tests += tests/unit/test_pcap_resume
thread_tests += tests/unit/test_ring
thread_tests += tests/unit/test_vhost_call
thread_tests += tests/unit/test_vhost_lost
unit_tests += tests/unit/test_config_line
unit_tests += tests/unit/test_fastpath_map
unit_tests += tests/unit/test_fastpath_mix
unit_tests += tests/unit/test_punt
unit_tests += tests/unit/test_journal
unit_tests += tests/unit/test_ledger
unit_tests += tests/unit/test_portconf
unit_tests += tests/unit/test_isolate
unit_tests += tests/unit/test_roles
unit_tests += tests/unit/test_isolate_rootless
unit_tests += tests/unit/test_isolate_works
EXTRA_DIST += tests/unit/isolate_fixture.h
unit_tests += tests/unit/test_grants
unit_tests += tests/unit/test_grants_held
EXTRA_DIST += tests/unit/datagrams_rig.h tests/unit/grants_rig.h
unit_tests += tests/unit/test_monitor_calls
unit_tests += tests/unit/test_monitor_save
unit_tests += tests/unit/test_monitor_sockets
unit_tests += tests/unit/test_policy
unit_tests += tests/unit/test_polling
unit_tests += tests/unit/test_awake
unit_tests += tests/unit/test_balance
unit_tests += tests/unit/test_proto
EXTRA_DIST += tests/unit/lingering.h
EXTRA_DIST += tests/unit/fds.h tests/unit/monitor_calls.h \
	tests/unit/monitor_rig.h
EXTRA_DIST += tests/unit/json_text.h
unit_tests += tests/unit/test_guest_frame
tests_unit_test_guest_frame_SOURCES = tests/unit/test_guest_frame.c \
	tests/bench/guest_frame.c tests/bench/guest_frame.h tests/bench/tool.h
tests_unit_test_guest_frame_LDADD = $(CMOCKA_LIBS)
unit_tests += tests/unit/test_stream
unit_tests += tests/unit/test_stream_link
unit_tests += tests/unit/test_stream_senders
unit_tests += tests/unit/test_stream_state
thread_tests += tests/unit/test_stream_senders
EXTRA_DIST += tests/unit/stream_rig.h
VHOST_DRIVER = tests/unit/vhost_driver.c tests/unit/vhost_driver.h \
	tests/unit/vhost_rig.h
unit_tests += tests/unit/test_vhost_ring
tests_unit_test_vhost_ring_SOURCES = tests/unit/test_vhost_ring.c \
	$(VHOST_DRIVER)
unit_tests += tests/unit/test_vhost_send
tests_unit_test_vhost_send_SOURCES = tests/unit/test_vhost_send.c \
	$(VHOST_DRIVER)
VHOST_FRONT = tests/unit/vhost_front.c tests/unit/vhost_front.h \
	tests/unit/vhost_driver.c tests/unit/vhost_driver.h
unit_tests += tests/unit/test_vhost_msg
EXTRA_DIST += tests/unit/vhost_port.h
unit_tests += tests/unit/test_vhost_session
tests_unit_test_vhost_session_SOURCES = tests/unit/test_vhost_session.c \
	$(VHOST_FRONT)
unit_tests += tests/unit/test_vhost_memory
tests_unit_test_vhost_memory_SOURCES = tests/unit/test_vhost_memory.c \
	$(VHOST_FRONT)
unit_tests += tests/unit/test_vhost_held_up
tests_unit_test_vhost_held_up_SOURCES = tests/unit/test_vhost_held_up.c \
	tests/unit/fuse.h $(VHOST_FRONT)
unit_tests += tests/unit/test_vhost_hostile
tests_unit_test_vhost_hostile_SOURCES = tests/unit/test_vhost_hostile.c \
	$(VHOST_DRIVER)
unit_tests += tests/unit/test_vhost_resume
tests_unit_test_vhost_resume_SOURCES = tests/unit/test_vhost_resume.c \
	$(VHOST_DRIVER)
unit_tests += tests/unit/test_vhost_notify
tests_unit_test_vhost_notify_SOURCES = tests/unit/test_vhost_notify.c \
	$(VHOST_DRIVER)
unit_tests += tests/unit/test_vhost_port
tests_unit_test_vhost_port_SOURCES = tests/unit/test_vhost_port.c \
	$(VHOST_FRONT)
unit_tests += tests/unit/test_vhost_restart
tests_unit_test_vhost_restart_SOURCES = tests/unit/test_vhost_restart.c \
	$(VHOST_FRONT)
unit_tests += tests/unit/test_vhost_changes
tests_unit_test_vhost_changes_SOURCES = tests/unit/test_vhost_changes.c \
	$(VHOST_FRONT)
thread_tests += tests/unit/test_vhost_changes
unit_tests += tests/unit/test_vhost_threads
thread_tests += tests/unit/test_vhost_threads
tests_unit_test_vhost_threads_SOURCES = tests/unit/test_vhost_threads.c \
	$(VHOST_DRIVER)
