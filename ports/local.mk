noinst_LIBRARIES += ports/libports.a
ports_libports_a_SOURCES = \
	ports/backlog.c ports/backlog.h \
	ports/capfile.c ports/capfile.h ports/capfile_acquire.c \
	ports/cpu_acquire.c ports/cpu_acquire.h \
	ports/csum.c ports/csum.h \
	ports/datagrams.c ports/datagrams.h \
	ports/device.c ports/device.h \
	ports/dgram.c ports/dgram.h ports/dgram_acquire.c \
	ports/drop.c ports/drop.h \
	ports/dummy.c ports/dummy.h \
	ports/frame.c ports/frame.h \
	ports/headers.c ports/headers.h \
	ports/ip_address.c ports/ip_address.h \
	ports/link.c ports/link.h \
	ports/listen.c ports/listen.h \
	ports/merge.c ports/merge.h \
	ports/netdev.c ports/netdev.h ports/netdev_acquire.c \
	ports/netdev_guard.c ports/netdev_guard.h \
	ports/netlink.c ports/netlink.h \
	ports/offload.c ports/offload.h \
	ports/pcap.c ports/pcap.h \
	ports/pcap_filter.c ports/pcap_filter.h \
	ports/pcap_output.c ports/pcap_output.h \
	ports/pcap_writer.c ports/pcap_writer.h \
	ports/pcapng.c ports/pcapng.h \
	ports/port.c ports/port.h \
	ports/privilege.c ports/privilege.h \
	ports/qdisc.c ports/qdisc.h \
	ports/ring.c ports/ring.h \
	ports/seqpacket.c \
	ports/slirp.c ports/slirp.h ports/slirp_acquire.c \
	ports/slirp_config.c ports/slirp_config.h \
	ports/slirp_fragments.c ports/slirp_fragments.h \
	ports/socket_buffers.c ports/socket_buffers.h \
	ports/stream.c ports/stream.h ports/stream_acquire.c \
	ports/stream_link.c ports/stream_link.h \
	ports/stream_state.c ports/stream_state.h \
	ports/tap.c ports/tap.h ports/tap_acquire.c \
	ports/udp.c ports/udp.h \
	ports/udp_gro.c ports/udp_gro.h \
	ports/unix_socket.c ports/unix_socket.h \
	ports/vde.c ports/vde.h ports/vde_acquire.c \
	ports/vde_request.c ports/vde_request.h \
	ports/vhost_call.c ports/vhost_call.h \
	ports/vhost_chain.h \
	ports/vhost_mem.c ports/vhost_mem.h \
	ports/vhost_msg.c ports/vhost_msg.h \
	ports/vhost_packed.c \
	ports/vhost_ring.c ports/vhost_ring.h \
	ports/vhost_session.c ports/vhost_session.h \
	ports/vhost_session_internal.h ports/vhost_session_keep.c \
	ports/vhost_session_memory.c ports/vhost_session_ring.c \
	ports/vhost_split.c \
	ports/vhost_state.c ports/vhost_state.h \
	ports/vhost_user.c ports/vhost_user.h ports/vhost_user_acquire.c \
	ports/vhost_user_control.c ports/vhost_user_internal.h

# The program behind `slirp` ports, where there is libslirp.
if HAVE_SLIRP
pkglibexec_PROGRAMS += ports/slirp/switchd-slirp
ports_slirp_switchd_slirp_SOURCES = \
	ports/slirp/confine.c ports/slirp/confine.h \
	ports/slirp/confine_calls.c \
	ports/slirp/frames.c ports/slirp/frames.h \
	ports/slirp/main.c \
	ports/slirp/nat.c ports/slirp/nat.h
ports_slirp_switchd_slirp_CPPFLAGS = $(AM_CPPFLAGS) $(SLIRP_CFLAGS)
ports_slirp_switchd_slirp_LDADD = ports/libports.a base/libbase.a \
	$(SLIRP_LIBS) $(LIBSECCOMP_LIBS)
dist_man_MANS += ports/slirp/switchd-slirp.8
else
EXTRA_DIST += ports/slirp/confine.c ports/slirp/confine.h \
	ports/slirp/frames.c ports/slirp/frames.h \
	ports/slirp/main.c ports/slirp/nat.c ports/slirp/nat.h \
	ports/slirp/switchd-slirp.8
endif
