noinst_LIBRARIES += ports/libports.a
ports_libports_a_SOURCES =
ports_libports_a_SOURCES += \
	ports/netlink.c ports/netlink.h \
	ports/tap.c ports/tap.h ports/tap_acquire.c
